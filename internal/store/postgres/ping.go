package postgres

import (
	"context"
	"errors"
)

// Ping asks the server for an answer once, and returns why there is none. Unlike all other methods it does not wait for a
// server that is away: it takes no longer than ctx.
func (db *DB) Ping(ctx context.Context) error {
	err := db.pool.Ping(ctx)
	if err != nil && ctx.Err() == nil {
		err = db.pool.Ping(ctx) // the connection may have been one from before a restart
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, Lost):
		return db.fail(err)
	}
	return errors.New(reason(err))
}

// GiveUp stops everything for good, as if the DB had found err itself. It is for a DB on the same tables that has.
func (db *DB) GiveUp(err error) { _ = db.fail(err) }

// Away reports whether writes wait because the server cannot be used.
func (db *DB) Away() bool { return db.away.Load() }

// LocalHost returns the address of this machine from which the server was reached first, or "" if that was not by TCP.
func (db *DB) LocalHost() string { return db.local }
