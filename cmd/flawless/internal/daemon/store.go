package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/store/postgres"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// opened is the store of a server, in its working directory or in a database.
type opened struct {
	*store.Store
	space store.Spacer
	place string                   // for people
	sign  func(start uint64) error // records that the server has started
	leave func()                   // ends waiting for a database that is away
	close func() error             // closes the store and what belongs to it
	ring  *ring.Ring               // remembers calls, for a database; nil is none
	node  *node                    // this server on a database; nil with a store of its own
}

// openStore opens the store that the options name.
func (o *Options) openStore(ctx context.Context, files int, log *slog.Logger) (*opened, error) {
	if o.Store != "" {
		return o.openDatabase(ctx, log)
	}
	return o.openDirectory(ctx, files, log)
}

// openDirectory opens the embedded store in the working directory.
func (o *Options) openDirectory(ctx context.Context, files int, log *slog.Logger) (*opened, error) {
	home, err := examine(filepath.Join(o.Dir, "store"), o.AcceptCopy, log)
	if err != nil {
		return nil, err
	}
	if err := makePrivate(home.dir); err != nil {
		return nil, err
	}
	db, err := pebble.Open(home.dir, pebble.Options{Log: log, Files: files})
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, db)
	if err == nil {
		err = home.enter(ctx, st)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	sign := func(start uint64) error { return workdir.Sign(home.dir, st.Identity(), start, time.Now()) }
	return &opened{Store: st, space: db, place: o.Dir, sign: sign, leave: func() {}, close: db.Close}, nil
}

// openDatabase opens the store in a database. The working directory then has no store that would lock it.
func (o *Options) openDatabase(ctx context.Context, log *slog.Logger) (*opened, error) {
	if o.AcceptCopy {
		return nil, fmt.Errorf("--accept-copy is for a store in the working directory, not for one in a database: %w", flawless.Invalid)
	}
	if !postgres.Is(o.Store) {
		return nil, fmt.Errorf("--store is not the address of a database: write postgres://USER@HOST:PORT/DATABASE: %w", flawless.Invalid)
	}
	release, sure, err := workdir.Hold(o.Dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "store", "data")); err == nil {
		log.Warn("the working directory has a store of its own, which is not used", "path", filepath.Join(o.Dir, "store"))
	}
	host, _ := os.Hostname()
	var calls *ring.Ring
	remember := func(database string) (_ postgres.Memory, err error) {
		calls, err = ring.Open(o.Dir, database)
		return calls, err
	}
	forget := func() (err error) { // nothing is noted any more
		if calls != nil {
			err = calls.Close()
		}
		return errors.Join(err, release())
	}
	db, err := postgres.Open(ctx, o.Store, postgres.Options{Schema: o.Schema, Name: host, Log: log, Memory: remember})
	if err != nil {
		return nil, errors.Join(err, forget())
	}
	st, err := store.Open(ctx, db)
	if err != nil {
		return nil, errors.Join(err, db.Close(), forget())
	}
	n, err := o.openNode(ctx, db, st, calls, sure, log)
	if err != nil {
		return nil, errors.Join(err, db.Close(), forget())
	}
	closing := func() error {
		return errors.Join(n.close(context.WithoutCancel(ctx)), db.Close(), forget())
	}
	return &opened{Store: st, space: db, place: db.Where(), sign: func(uint64) error { return nil }, leave: n.abandon, close: closing, ring: calls, node: n}, nil
}
