package postgres

import (
	"context"
	"errors"
)

// Ping asks the server for an answer once, and returns why there is none. Unlike all other methods it does not wait for a
// server that is away: it takes no longer than ctx.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.pool.Ping(ctx); err != nil {
		return errors.New(reason(err))
	}
	return nil
}

// Away reports whether writes wait because the server cannot be used.
func (db *DB) Away() bool { return db.away.Load() }

// LocalHost returns the address of this machine from which the server was reached first, or "" if that was not by TCP.
func (db *DB) LocalHost() string { return db.local }
