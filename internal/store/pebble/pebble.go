// Package pebble is the store.KV of one machine: a Pebble database in the working directory.
//
// It hides Pebble and the file system. On top of what store.KV asks for it guarantees that one
// server at a time uses a directory, that space is kept back so that what is under way can be
// written when the disk is full, and that an error of the disk neither ends the process nor leaves
// anybody waiting. What fails for a reason that passes is repeated for some seconds (see patient).
// Tables that cannot be written are tried again for some seconds, and as long as the
// disk is full; after any other error the database answers every Apply with that error. Of what was
// acknowledged before, all keys can still be read that no write without an answer has changed; ranges
// cannot where a write was under way, as nobody knows whether it will be there after a restart.
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
	Files    int          // descriptors it may take; 0 is 1000

	pause time.Duration // before tables that could not be written are tried again; 0 is 10 ms
}

// DB is a database in a directory. All methods may be called concurrently.
type DB struct {
	kv   *cockroach.DB
	log  *slog.Logger
	lock *lock

	space  space
	gate   gate
	tables tables
	opened atomic.Bool // before, nothing is compacted

	mu      sync.Mutex // held while a batch is checked and handed to Pebble
	closed  atomic.Bool
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
//	dir/db/      Pebble's
//
// It returns [flawless.Conflict] where another server uses dir, [flawless.Invalid] where dir cannot
// be written, [flawless.Damaged] where the database is damaged. A crash at any moment leaves a
// database that opens again and holds every acknowledged batch.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	o.FS = &patient{o.FS, o.Log}
	l, err := acquire(o.FS, dir)
	if err != nil {
		return nil, fmt.Errorf("opening working directory %s: %w", dir, err)
	}
	db := &DB{log: o.Log, lock: l, seed: maphash.MakeSeed()}
	db.tables.open(o.pause)
	db.space.open(o.FS, dir, o.Reserve, o.Log)
	careful := vfs.OnDiskFull(o.FS, db.space.spent)
	if err := db.openPebble(careful, o); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database in working directory %s: %w", dir, explained(err)), db.close())
	}
	db.opened.Store(true)
	db.tables.awaited.Store(false)
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
	if o.pause == 0 {
		o.pause = 10 * time.Millisecond
	}
	return o
}

// format is the version of Pebble's files. It is pinned: a new version of Pebble must not change what a
// directory holds. From [cockroach.FormatWALSyncChunks] on a torn end of the log is told from damage.
const format = cockroach.FormatTableFormatV6

// openPebble opens Pebble. It returns an error as well where that went well and the disk failed meanwhile.
func (db *DB) openPebble(careful vfs.FS, o Options) error {
	fs := &files{FS: careful, failed: db.fail, broken: db.isBroken, tables: &db.tables, aside: vfs.NewMem()}
	cache := cockroach.NewCache(o.Cache)
	defer cache.Unref()
	po := &cockroach.Options{
		FS:                    fs,
		Lock:                  db.lock.pebble,
		Cache:                 cache,
		MaxOpenFiles:          o.Files, // 0 is Pebble's own default, 1000
		MemTableSize:          uint64(o.Memtable),
		FormatMajorVersion:    format,
		Logger:                logger{db},
		L0CompactionThreshold: 4,
		EventListener: &cockroach.EventListener{
			DataCorruption:  db.damaged,
			FlushEnd:        db.flushed,
			CompactionEnd:   db.compacted,
			WriteStallBegin: func(cockroach.WriteStallBeginInfo) { db.tables.awaited.Store(true) },
			WriteStallEnd:   func() { db.tables.awaited.Store(false) },
		},
		// A write that waits for a table to be made holds up all others: tables that cannot be made are
		// noticed before.
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       32,
		// Pebble asks after each sync how long the next one is to wait. Goroutines that are about to write
		// run first, so that more share a sync; where there are none nobody waits.
		WALMinSyncInterval: func() time.Duration {
			runtime.Gosched()
			return 0
		},
		// Open waits for compactions that it has set off itself: before it is done there are none.
		CompactionConcurrencyRange: func() (lower, upper int) {
			if !db.opened.Load() {
				return 0, 1
			}
			return 1, 1
		},
	}
	po.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	err := guard(func() (err error) { db.kv, err = cockroach.Open(db.lock.db, po); return err })
	if f := db.failed.Load(); f != nil {
		return f.err
	}
	return err
}

// Close implements store.KV.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed.Swap(true) {
		return nil
	}
	if err := db.close(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// close closes all that Open opened.
func (db *DB) close() error {
	db.tables.close()
	var err error
	if f := db.failed.Load(); db.kv != nil && (f == nil || !f.dead) {
		err = guard(db.kv.Close)
	}
	return errors.Join(err, db.space.close(), db.lock.release())
}

// Full implements store.Spacer.
func (db *DB) Full() (bool, string) {
	if db.tables.full.Load() {
		return true, noTables
	}
	return db.space.full()
}

// Failed implements store.Failer.
func (db *DB) Failed() error {
	if f := db.failed.Load(); f != nil {
		return f.err
	}
	return nil
}

// damaged is told of a damaged table. Whoever reads it is told too, and all others go on.
func (db *DB) damaged(info cockroach.DataCorruptionInfo) {
	db.log.Error("the database is damaged, restore it from a backup", "file", info.Path, "error", info.Details)
}

// fail makes every Apply from now on return err.
func (db *DB) fail(err error, dead bool) {
	f := &failure{fmt.Errorf("the database takes no more writes: %w: see that the disk has space and works, then restart the server", err), dead}
	db.gate.fail(f.err) // before the log goes nowhere: nobody may take that for synced
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
	if db.tables.full.Load() {
		return fmt.Errorf("%s: %w", noTables, flawless.Full)
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
