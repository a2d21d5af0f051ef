// Package pebble is the store.KV of one machine: a Pebble database in the working directory.
//
// It hides Pebble and the file system. On top of what store.KV asks for it guarantees that one
// server at a time uses a directory, that space is kept back so that what is under way can be
// written when the disk is full, and that an error of the disk never ends the process: from then on
// the database answers every Apply with that error, and what was acknowledged before stays readable.
//
// It never acknowledges or shows a write that is not on stable storage. It does not repair a
// damaged database.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// Options say how a database is kept. The zero value is the default.
type Options struct {
	FS       vfs.FS       // nil is the file system of the machine
	Log      *slog.Logger // nil logs nothing
	Reserve  int64        // bytes kept back for a full disk; 0 is 64 MiB, negative is none
	Memtable int64        // bytes written before they move from log to table; 0 is 4 MiB
	Cache    int64        // bytes of tables kept in memory; 0 is 64 MiB
}

// DB is a database in a directory. All methods may be called concurrently.
type DB struct {
	kv    *cockroach.DB
	log   *slog.Logger
	lock  *lock
	files *walFS

	space space
	gate  gate

	mu      sync.Mutex // held while a batch is checked and handed to Pebble
	closed  atomic.Bool
	held    held          // under mu
	started atomic.Uint64 // number of the newest batch handed to Pebble; written under mu
	seed    maphash.Seed
	touched [places]atomic.Uint64 // number of the newest batch that changed a key, by the key's hash

	failed atomic.Pointer[failure]
}

// failure is why the database takes no more writes.
type failure struct {
	err  error
	dead bool // Pebble itself has given up and must not even be closed
}

// Open opens the database in dir, which is made where it is missing. The files are:
//
//	dir/pid      number of the process that uses it
//	dir/reserve  space kept back
//	dir/db/      Pebble's, and a spare file for its log
//
// It returns [flawless.Conflict] where another server uses dir, [flawless.Invalid] where dir cannot
// be written, [flawless.Damaged] where the database is damaged. A crash at any moment leaves a
// database that opens again and holds every acknowledged batch.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	l, err := acquire(o.FS, dir)
	if err != nil {
		return nil, fmt.Errorf("opening working directory %s: %w", dir, err)
	}
	db := &DB{log: o.Log, lock: l, seed: maphash.MakeSeed()}
	db.space.open(o.FS, dir, o.Reserve, o.Log)
	if err := guard(func() (err error) { db.kv, err = db.openPebble(o); return err }); err != nil {
		db.files.close()
		return nil, errors.Join(fmt.Errorf("opening the database in working directory %s: %w", dir, explained(err)), db.space.close(), l.release())
	}
	db.files.ready()
	return db, nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Reserve == 0 {
		o.Reserve = 64 << 20
	}
	if o.Memtable == 0 {
		o.Memtable = 4 << 20
	}
	if o.Cache == 0 {
		o.Cache = 64 << 20
	}
	return o
}

func (db *DB) openPebble(o Options) (*cockroach.DB, error) {
	db.files = &walFS{FS: vfs.OnDiskFull(o.FS, db.space.spent), base: o.FS, size: o.Memtable + o.Memtable/10, failed: db.fail, broken: db.isBroken}
	cache := cockroach.NewCache(o.Cache)
	defer cache.Unref()
	po := &cockroach.Options{
		FS:                    db.files,
		Lock:                  db.lock.pebble,
		Cache:                 cache,
		MemTableSize:          uint64(o.Memtable),
		FormatMajorVersion:    cockroach.FormatTableFormatV6,
		Logger:                logger{db},
		L0CompactionThreshold: 4,
		EventListener:         &cockroach.EventListener{DataCorruption: db.damaged},
		// It is asked after each sync how long the next is to wait. While others have something to do they
		// do it first, so that more shares a sync; nobody waits where nobody has.
		WALMinSyncInterval: func() time.Duration {
			runtime.Gosched()
			return 0
		},
		// Open waits for compactions that it has set off itself: before it is done there are none.
		CompactionConcurrencyRange: func() (lower, upper int) {
			if !db.files.opened.Load() {
				return 0, 1
			}
			return 1, 1
		},
	}
	po.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	return cockroach.Open(db.lock.db, po)
}

// Close implements store.KV.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed.Swap(true) {
		return nil
	}
	var err error
	if f := db.failed.Load(); f == nil || !f.dead {
		err = guard(db.kv.Close)
	}
	db.files.close()
	if err = errors.Join(err, db.space.close(), db.lock.release()); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// Full implements store.Spacer.
func (db *DB) Full() (bool, string) { return db.space.full() }

// damaged is told of a damaged table. Whoever reads it is told too, and all others go on.
func (db *DB) damaged(info cockroach.DataCorruptionInfo) {
	db.log.Error("the database is damaged, restore it from a backup", "file", info.Path, "error", info.Details)
}

// fail makes every Apply from now on return err.
func (db *DB) fail(err error, dead bool) {
	f := &failure{fmt.Errorf("the database takes no more writes: %w: see that the disk has space and works, then restart the server", err), dead}
	db.gate.fail(f.err) // before logs go nowhere: nobody may take that for synced
	if old := db.failed.Load(); old == nil || dead && !old.dead {
		db.failed.Store(f)
		db.log.Error("the database takes no more writes", "error", err)
	}
}

func (db *DB) isBroken() bool { return db.failed.Load() != nil }

// ready returns an error if nothing can be read.
func (db *DB) ready(ctx context.Context) error {
	if db.closed.Load() {
		return fmt.Errorf("the database is closed: %w", flawless.Stopping)
	}
	return ctx.Err()
}

// writable returns an error if no write can be taken.
func (db *DB) writable(ctx context.Context) error {
	if err := db.ready(ctx); err != nil {
		return err
	}
	if f := db.failed.Load(); f != nil {
		return f.err
	}
	return nil
}

// explained wraps an error of Pebble in the code it amounts to.
func explained(err error) error {
	switch {
	case err == nil:
		return nil
	case cockroach.IsCorruptionError(err):
		return fmt.Errorf("it is damaged: %w: restore the directory from a backup: %w", err, flawless.Damaged)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("it cannot be written: %w: give this user the right to, or use another --working-dir: %w", err, flawless.Invalid)
	}
	return err
}
