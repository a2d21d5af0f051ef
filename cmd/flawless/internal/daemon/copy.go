package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/store/postgres"
	"github.com/flawless-engine/flawless/internal/store/transfer"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// Place is where a store is: a working directory, or the address of a PostgreSQL database and a schema in it.
type Place struct{ Address, Schema string }

// side is one side of a copy, opened.
type side struct {
	transfer.Side
	dir string // of a store in a working directory, else ""
}

// CopyStore copies a store to a place that has none, where it goes on; see [transfer.Copy]. cancel undoes an incomplete
// copy instead. No server may use either place.
func CopyStore(ctx context.Context, from, to Place, cancel bool, progress func(transfer.Report)) (r transfer.Report, err error) {
	source, err := from.open(ctx, false)
	if err != nil {
		return r, Reason(err)
	}
	defer func() { err = errors.Join(err, source.KV.Close()) }()
	target, err := to.open(ctx, true)
	if err != nil {
		return r, Reason(err)
	}
	defer func() { err = errors.Join(err, target.KV.Close()) }()
	o := transfer.Options{From: source.Side, To: target.Side, Progress: progress}
	if cancel {
		return r, Reason(transfer.Cancel(ctx, o))
	}
	if err := source.original(ctx); err != nil {
		return r, Reason(err)
	}
	if r, err = transfer.Copy(ctx, o); err == nil {
		err = target.sign(ctx)
	}
	return r, Reason(err)
}

// Restored notes that a database was restored from a backup, or may have lost acknowledged writes in another way that its
// servers cannot notice. The next server that starts holds all open runs back. No server may use it.
func Restored(ctx context.Context, p Place) (err error) {
	if !postgres.Is(p.Address) {
		return fmt.Errorf("--store is not the address of a database: write postgres://USER@HOST:PORT/DATABASE; a restored working directory is started with flawless up --accept-copy: %w", flawless.Invalid)
	}
	db, err := postgres.Open(ctx, p.Address, postgres.Options{Schema: p.Schema, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return Reason(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Restored(ctx, "somebody said that the database was restored")
}

// open opens a place. create makes the directory if there is none.
func (p Place) open(ctx context.Context, create bool) (*side, error) {
	if postgres.Is(p.Address) {
		host, _ := os.Hostname()
		db, err := postgres.Open(ctx, p.Address, postgres.Options{Schema: p.Schema, Name: host, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		losses, err := db.Losses(ctx)
		if err == nil && len(losses) > 0 {
			err = fmt.Errorf("%s has lost writes that it had acknowledged: start a server on it, which finds out what that means for each run, and stop it again: %w", db.Where(), flawless.Conflict)
		}
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return &side{Side: transfer.Side{KV: db, Name: db.Where()}}, nil
	}
	if mistyped(p.Address) {
		return nil, fmt.Errorf("a store is in a directory, or at the address of a database: write ./DIRECTORY or postgres://USER@HOST:PORT/DATABASE: %w", flawless.Invalid)
	}
	full, err := filepath.Abs(p.Address)
	if err != nil {
		return nil, fmt.Errorf("the working directory %s: %w: %w", p.Address, err, flawless.Invalid)
	}
	dir := filepath.Join(full, "store")
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil && !create {
		return nil, fmt.Errorf("there is no store in the working directory %s: %w", full, flawless.NotFound)
	}
	if create {
		if err := makePrivate(dir); err != nil {
			return nil, err
		}
	}
	db, err := pebble.Open(dir, pebble.Options{Reserve: -1})
	if err != nil {
		return nil, err
	}
	return &side{transfer.Side{KV: db, Name: "directory " + full}, dir}, nil
}

// mistyped reports whether text is meant as the address of a database but is none. An error must not quote it, because its
// password may be in any place, and no directory is made of that name.
func mistyped(text string) bool {
	if strings.Contains(text, "://") || strings.Contains(strings.ToLower(text), "password=") {
		return true
	}
	user, _, found := strings.Cut(text, "@")
	_, err := os.Stat(text)
	return found && strings.Contains(user, ":") && err != nil
}

// original refuses a directory that is a copy of another one: the original may go on elsewhere.
func (s *side) original(ctx context.Context) error {
	if s.dir == "" {
		return nil
	}
	mark, err := workdir.Look(s.dir)
	if err != nil {
		return err
	}
	if moved, _, err := store.TransferOf(ctx, s.KV); err != nil || moved != nil { // it was compared before it was marked
		return err
	}
	id, last, err := s.identity(ctx)
	if err != nil {
		return err
	}
	return workdir.Match(s.dir, mark, id, last)
}

// sign marks a directory as the original of its store, so that it can be started. After a crash before that, it counts as a
// copy, and is started with --accept-copy.
func (s *side) sign(ctx context.Context) error {
	if s.dir == "" {
		return nil
	}
	id, last, err := s.identity(ctx)
	if err != nil {
		return err
	}
	return workdir.Sign(s.dir, id, last, time.Now())
}

// identity returns what the mark of a directory says of the store in it: its identity, and the number of its starts.
func (s *side) identity(ctx context.Context) (id flawless.Identity, starts uint64, err error) {
	st, err := store.Open(ctx, s.KV)
	if err != nil {
		return id, 0, err
	}
	starts, err = st.LastEpoch(ctx)
	return st.Identity(), starts, err
}
