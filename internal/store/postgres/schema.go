package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flawless-engine/flawless"
)

// format is the number of the newest format of the tables. schema has a file for each.
const format = 1

//go:embed schema/*.sql
var files embed.FS

// migrate creates the schema or brings it to the newest format. Several servers may do so at once: the row with the
// format in table meta is their lock, which also works behind a pooler. A crash leaves a format and its tables, complete.
func (c *connector) migrate(ctx context.Context, conn *pgx.Conn) error {
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := c.tryMigrate(ctx, conn)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) {
			return err
		}
		switch pg.Code {
		case uniqueViolation, duplicateSchema, duplicateTable, duplicateObject, serializationFailure, deadlockDetected, lockNotAvailable: // another server does the same
		default:
			return err
		}
		if (pg.Code == duplicateTable || pg.Code == duplicateObject) && pause > 100*time.Millisecond {
			return fmt.Errorf("the schema %s has tables that are not from flawless (%s): give another one with --store-schema: %w", c.schema, pg.Message, flawless.Invalid)
		}
		select {
		case <-time.After(pause + rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *connector) tryMigrate(ctx context.Context, conn *pgx.Conn) error {
	now, err := c.formatOf(ctx, conn)
	if err != nil || now == format {
		return err
	}
	if now == 0 {
		if err := c.createMeta(ctx, conn); err != nil {
			return err
		}
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	var text string
	if err := tx.QueryRow(ctx, "SELECT value FROM "+c.schema+".meta WHERE name = 'format' FOR UPDATE").Scan(&text); err != nil {
		return err
	}
	if now, err = c.known(text); err != nil {
		return err
	}
	for n := now + 1; n <= format; n++ {
		sql, err := files.ReadFile(fmt.Sprintf("schema/%d.sql", n))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, strings.ReplaceAll(string(sql), "{schema}", c.schema)); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "UPDATE "+c.schema+".meta SET value = $1 WHERE name = 'format'", strconv.Itoa(format)); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// formatOf returns the format of the tables, 0 if there are none.
func (c *connector) formatOf(ctx context.Context, conn *pgx.Conn) (int, error) {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", c.schema+".meta").Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var text string
	err := conn.QueryRow(ctx, "SELECT value FROM "+c.schema+".meta WHERE name = 'format'").Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return c.known(text)
}

// known returns the number of a format, or an error if this version does not know it.
func (c *connector) known(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the schema %s has the format %q, which is none of flawless: %w", c.schema, text, flawless.Damaged)
	}
	if n > format {
		return 0, fmt.Errorf("the schema %s has format %d, but this version of flawless (%s) only knows formats up to %d: use a newer version: %w", c.schema, n, flawless.Version, format, flawless.Conflict)
	}
	return n, nil
}

// createMeta creates the schema, unless it exists, and table meta.
func (c *connector) createMeta(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL", c.schema).Scan(&exists); err != nil {
		return err
	}
	if !exists {
		_, err := conn.Exec(ctx, "CREATE SCHEMA "+c.schema)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == noPrivilege {
			return refuse(flawless.Invalid, "user %s may not create the schema %s: have the owner of the database run: CREATE SCHEMA %s AUTHORIZATION %s", c.config.User, c.schema, c.schema, pgx.Identifier{c.config.User}.Sanitize())
		}
		if err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+c.schema+".meta (name text PRIMARY KEY, value text NOT NULL)"); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "INSERT INTO "+c.schema+".meta (name, value) VALUES ('format', '0') ON CONFLICT (name) DO NOTHING")
	return err
}
