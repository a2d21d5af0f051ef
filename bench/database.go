package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// database is a PostgreSQL server, and a connection for measuring.
type database struct {
	address string
	server  *pgtest.Server // nil if somebody else started it
	conn    *pgx.Conn
}

// openDatabase starts a PostgreSQL server, unless -store names one. While it is open, floors measures P, too.
func (b *bench) openDatabase(ctx context.Context) (d *database, err error) {
	d = &database{address: b.store}
	if b.store == "" {
		// The checkpoints of a load of seconds are not part of what it costs.
		d.server, err = pgtest.Open(map[string]string{"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"})
		if err != nil {
			return nil, err
		}
		d.address = d.server.URL(pgtest.User)
	}
	if d.conn, err = pgx.Connect(ctx, d.address); err != nil {
		d.close(ctx)
		return nil, err
	}
	// A value that is stored in the row itself: one row version, and no second table.
	_, err = d.conn.Exec(ctx, "DROP TABLE IF EXISTS floor; CREATE TABLE floor (b bytea STORAGE PLAIN)")
	if old := "DROP TABLE IF EXISTS floor; CREATE TABLE floor (b bytea); ALTER TABLE floor ALTER b SET STORAGE PLAIN"; err != nil {
		_, err = d.conn.Exec(ctx, old) // before PostgreSQL 16
	}
	if err != nil {
		d.close(ctx)
		return nil, err
	}
	b.database, b.p = d, nil
	return d, nil
}

func (d *database) close(ctx context.Context) {
	if d.conn != nil {
		_, _ = d.conn.Exec(ctx, "DROP TABLE IF EXISTS floor")
		_ = d.conn.Close(ctx)
	}
	if d.server != nil {
		d.server.Close()
	}
}

// closeDatabase ends what openDatabase has begun.
func (b *bench) closeDatabase(ctx context.Context) {
	b.database.close(ctx)
	b.database = nil
}

// floor returns the times of n inserts of 4 KiB, each committed, in µs.
func (d *database) floor(ctx context.Context, n int) (each []float64, err error) {
	block := bytes.Repeat([]byte{1}, 4096)
	for range n {
		t := time.Now()
		if _, err := d.conn.Exec(ctx, "INSERT INTO floor VALUES ($1)", block); err != nil {
			return nil, err
		}
		each = append(each, micros(time.Since(t)))
	}
	return each, nil
}

// forget removes the tables of a server that has ended.
func (d *database) forget(ctx context.Context, schema string) error {
	_, err := d.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
	return err
}

// work is what a database has done.
type work struct{ rows, inPlace, statements, wal float64 }

// worked returns what the database has done for a schema so far. It waits until idle connections have reported, which
// takes them ten seconds.
func (d *database) worked(ctx context.Context, schema string) (w work, err error) {
	<-time.After(11 * time.Second)
	// Each statement of a server is a transaction.
	const query = `SELECT sum(n_tup_ins + n_tup_upd + n_tup_del), sum(n_tup_hot_upd),
		(SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()), pg_current_wal_lsn() - '0/0'
		FROM pg_stat_user_tables WHERE schemaname = $1`
	err = d.conn.QueryRow(ctx, query, schema).Scan(&w.rows, &w.inPlace, &w.statements, &w.wal)
	return w, err
}

// per adds the figures of what was done since before, for each of n calls.
func (b *bench) per(who string, before, after work, n float64) {
	for _, f := range []figure{
		{What: "row versions written per call", Value: (after.rows - before.rows) / n},
		{What: "of these updated in place (HOT)", Value: (after.inPlace - before.inPlace) / n},
		{What: "statements per call", Value: (after.statements - before.statements) / n},
		{What: "write-ahead log per call", Value: (after.wal - before.wal) / n, Unit: "bytes"},
	} {
		f.What = fmt.Sprintf("%s: %s", who, f.What)
		b.put(f)
	}
}
