package postgres

import (
	"context"
	"errors"
	"time"
)

// Time asks the server for its time, once, and returns why there is no answer. Unlike all other methods it does not wait for
// a server that is away: it takes no longer than ctx.
func (db *DB) Time(ctx context.Context) (at time.Time, err error) {
	for range 2 { // the first connection may be one from before a restart
		if err = db.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at); err == nil || ctx.Err() != nil {
			break
		}
	}
	switch {
	case err == nil:
		return at, nil
	case errors.Is(err, Lost):
		return at, db.fail(err)
	}
	return at, errors.New(reason(err))
}

// GiveUp stops everything for good, as if the DB had found err itself. It is for a DB on the same tables that has.
func (db *DB) GiveUp(err error) { _ = db.fail(err) }

// Away reports whether writes wait because the server cannot be used.
func (db *DB) Away() bool { return db.away.Load() }

// LocalHost returns the address of this machine from which the server was reached first, or "" if that was not by TCP.
func (db *DB) LocalHost() string { return db.local }
