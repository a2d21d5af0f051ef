package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/errno"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/store/postgres"
)

// Classes of errors with which a server stops. They have exit codes and hints of their own: a server that has
// stopped does not continue when there is space again, and a damaged store needs another remedy than a damaged
// file that a command was given.
const (
	StoreFailed  flawless.Code = "the store was given up"
	StoreDamaged flawless.Code = "the server stopped because its store is damaged"
	DiskFull     flawless.Code = "the server stopped because the disk is full"
	WritesLost                 = postgres.Lost
)

// Reason adds the class to an error with which a server stopped.
func Reason(err error) error {
	switch {
	case errors.Is(err, StoreFailed), errors.Is(err, WritesLost):
		return err
	case errors.Is(err, flawless.Damaged):
		return fmt.Errorf("%w: %w", err, StoreDamaged)
	case isFull(err):
		return fmt.Errorf("%w: %w", err, DiskFull)
	}
	return err
}

// isFull reports whether an error says that the disk or the quota of the user is full.
func isFull(err error) bool {
	return errors.Is(err, flawless.Full) || errno.Full(err)
}

// CheckStore checks the store in a directory that no server uses. It returns [flawless.Conflict] if one does.
func CheckStore(ctx context.Context, dir string, progress func(read, total int64)) (c flawless.StoreCheck, err error) {
	db, err := pebble.Open(dir, pebble.Options{Reserve: -1})
	if err != nil {
		return c, Reason(err)
	}
	st, err := store.Open(ctx, db)
	if err != nil {
		return c, Reason(errors.Join(err, db.Close()))
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return st.Check(ctx, store.CheckFiles{Progress: progress})
}
