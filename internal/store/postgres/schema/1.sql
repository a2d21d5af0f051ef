-- Format 1 of the tables. {schema} is the quoted name of the schema. This file never changes: a later format has a
-- file of its own, which changes what this one has made.

-- Small rows that come, change and go: heads of runs, indexes, leases. The free space in each page lets a row change
-- in place, without a new entry in the index.
CREATE TABLE {schema}.rows (
	k bytea NOT NULL PRIMARY KEY,
	v bytea NOT NULL
) WITH (
	fillfactor = 80,
	autovacuum_vacuum_scale_factor = 0.02,
	autovacuum_vacuum_threshold = 1000,
	autovacuum_analyze_scale_factor = 0.05,
	autovacuum_vacuum_cost_delay = 1,
	vacuum_truncate = false -- it would lock out all others
);

-- Logs of runs. A record is written once, and removed with its run.
CREATE TABLE {schema}.records (
	k bytea NOT NULL PRIMARY KEY,
	v bytea NOT NULL
) WITH (
	autovacuum_vacuum_scale_factor = 0.05,
	vacuum_truncate = false
);

-- Modules, images and data of runs.
CREATE TABLE {schema}.blobs (
	k bytea NOT NULL PRIMARY KEY,
	v bytea NOT NULL
) WITH (
	autovacuum_vacuum_scale_factor = 0.05,
	vacuum_truncate = false
);

-- Compressed keys would be compared in full only after they are decompressed.
ALTER TABLE {schema}.rows ALTER COLUMN k SET STORAGE PLAIN;
ALTER TABLE {schema}.records ALTER COLUMN k SET STORAGE PLAIN;
ALTER TABLE {schema}.blobs ALTER COLUMN k SET STORAGE PLAIN;
-- Images are compressed already.
ALTER TABLE {schema}.blobs ALTER COLUMN v SET STORAGE EXTERNAL;

-- One row for each connection of a server that writes. Every statement expects n-1 and this generation, and sets n. failed
-- has the batches of this statement that were refused, for a server that lost the answer.
CREATE TABLE {schema}.lanes (
	node text NOT NULL,
	lane int4 NOT NULL,
	generation int8 NOT NULL,
	n int8 NOT NULL,
	failed int4[] NOT NULL,
	PRIMARY KEY (node, lane)
) WITH (
	fillfactor = 10,
	autovacuum_vacuum_scale_factor = 0,
	autovacuum_vacuum_threshold = 1000,
	autovacuum_vacuum_cost_delay = 0,
	vacuum_truncate = false
);
