// Package pebble implements store.KV for one machine: a Pebble database in the working directory.
//
// It hides Pebble and the file system. In addition to store.KV, it guarantees that only one server at a time uses a
// directory, that a reserve of disk space lets work in progress be written when the disk is full, and that an error of
// the disk neither ends the process nor blocks callers. Transient errors are retried for a few seconds (see patient), and
// so are tables that cannot be written, for as long as the disk is full. After any other error, every Apply returns that
// error. Acknowledged keys can still be read unless an unacknowledged write has changed them; ranges cannot be read if a
// write was in progress, because it is unknown whether that will be there after a restart.
//
// It never acknowledges or shows a write that is not on stable storage. It does not open a database that has lost
// acknowledged writes, and it does not repair a damaged one.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/errno"
)

// Options configures a database. The zero value is the default.
type Options struct {
	FS       vfs.FS       // nil is the file system of the operating system
	Log      *slog.Logger // nil logs nothing
	Reserve  int64        // bytes reserved for a full disk; 0 is 64 MiB, negative is none
	Memtable int64        // bytes in memory before they are flushed to a table; 0 is 4 MiB
	Cache    int64        // bytes of cached tables; 0 is 64 MiB
	Files    int          // maximum number of open files; 0 is 1000

	pause time.Duration // first pause before a failed table is retried; 0 is 10 ms
}

// DB is a database in a directory. All methods may be called concurrently.
type DB struct {
	kv    *cockroach.DB
	files vfs.FS
	log   *slog.Logger
	lock  *lock

	ledger  *ledger
	space   space
	durable durable
	tables  tables
	opened  atomic.Bool // no compactions until it is set

	mu      sync.Mutex // held while a batch is checked and handed to Pebble
	closed  atomic.Bool
	started atomic.Uint64 // number of the newest batch handed to Pebble; written under mu
	seed    maphash.Seed
	touched [slots]atomic.Uint64 // number of the newest batch that changed a key, by hash of the key

	failed atomic.Pointer[failure]
}

// failure is the reason why the database accepts no more writes.
type failure struct {
	err  error
	dead bool // Pebble has given up, and must not even be closed
}

// Open opens the database in dir, and creates both if necessary. The files are:
//
//	dir/owner    host, id and start time of the process that uses the directory
//	dir/reserve  reserved disk space
//	dir/synced   what part of Pebble's files is on stable storage
//	dir/data/    files of Pebble
//	dir/db/      stops versions that only know format 1
//
// It returns [flawless.Conflict] if another server uses dir or dir has another format, [flawless.Invalid] if dir is not
// writable, and [flawless.Damaged] if the database is damaged or has lost acknowledged writes. A crash at any time leaves
// a database that can be opened and has every acknowledged batch.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	o.FS = &patient{o.FS, o.Log}
	l, err := lockFormat(o.FS, dir, o.Log)
	if err != nil {
		return nil, fmt.Errorf("opening working directory %s: %w", dir, err)
	}
	db := &DB{log: o.Log, lock: l, seed: maphash.MakeSeed()}
	db.tables.open(o.pause)
	db.space.open(o.FS, dir, o.Reserve, o.Log)
	careful := vfs.OnDiskFull(o.FS, db.space.spent)
	db.files = careful
	if err := db.openPebble(careful, o); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database in working directory %s: %w", dir, explained(err)), db.close())
	}
	db.ledger.keep(func(err error) { db.fail(err, false) })
	db.opened.Store(true)
	db.tables.awaited.Store(false)
	return db, nil
}

// lockFormat locks a directory of our format. It does not change a directory of another format.
func lockFormat(files vfs.FS, dir string, log *slog.Logger) (*lock, error) {
	if err := checkFormat(files, dir); err != nil {
		return nil, err
	}
	return acquire(files, dir, log)
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

// format is the version of Pebble's files. It is pinned, so that a new version of Pebble does not change the files. Since
// [cockroach.FormatWALSyncChunks], Pebble can distinguish an incomplete end of the log from damage.
const format = cockroach.FormatTableFormatV6

// openPebble opens Pebble. It also returns an error if the disk has failed meanwhile.
func (db *DB) openPebble(careful vfs.FS, o Options) error {
	err := db.lock.sign(careful)
	if err == nil {
		err = putBarrier(careful, db.lock.dir)
	}
	if err == nil {
		db.ledger, err = openLedger(careful, db.lock.dir, db.lock.data)
	}
	if err != nil {
		return err
	}
	if db.ledger.torn != nil { // a power failure during a write also has this effect
		db.log.Warn("one page of the ledger is damaged, using the other", "path", db.ledger.path, "error", db.ledger.torn)
	}
	fs := &files{FS: careful, failed: db.fail, broken: db.isBroken, tables: &db.tables, ledger: db.ledger, aside: vfs.NewMem()}
	cache := cockroach.NewCache(o.Cache)
	defer cache.Unref()
	po := &cockroach.Options{
		FS:                    fs,
		Lock:                  db.lock.pebble,
		Cache:                 cache,
		MaxOpenFiles:          o.Files, // 0 is Pebble's own default, 1000
		MemTableSize:          uint64(o.Memtable),
		FormatMajorVersion:    format,
		ErrorIfNotExists:      db.ledger.begun,
		Logger:                logger{db},
		L0CompactionThreshold: 4,
		EventListener: &cockroach.EventListener{
			DataCorruption:  db.damaged,
			FlushEnd:        db.flushed,
			CompactionEnd:   db.compacted,
			WriteStallBegin: func(cockroach.WriteStallBeginInfo) { db.tables.awaited.Store(true) },
			WriteStallEnd:   func() { db.tables.awaited.Store(false) },
		},
		// A write that waits for a table blocks all others. With these limits, failing tables are noticed before.
		MemTableStopWritesThreshold: 4,
		L0StopWritesThreshold:       32,
		// Pebble calls this after each sync to learn how long to delay the next one. Let goroutines that are about
		// to write run first, so that more of them share a sync; if there are none, there is no delay.
		WALMinSyncInterval: func() time.Duration {
			runtime.Gosched()
			return 0
		},
		// Open would wait for compactions that it starts, so allow none until it is done.
		CompactionConcurrencyRange: func() (lower, upper int) {
			if !db.opened.Load() {
				return 0, 1
			}
			return 1, 1
		},
	}
	po.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	err = guard(func() (err error) { db.kv, err = cockroach.Open(db.lock.data, po); return err })
	if f := db.failed.Load(); f != nil {
		return f.err
	}
	if err != nil {
		return notOpened(err, fs)
	}
	newest, err := db.newest()
	if err == nil && newest < db.ledger.newest {
		err = damage(db.lock.data, "ends with sequence number %d, %d was on stable storage", newest, db.ledger.newest)
	}
	return errors.Join(err, db.ledger.begin())
}

// notOpened marks an error of Pebble as damage (a file is missing, too short or unreadable), unless it is an error of the
// operating system.
func notOpened(err error, fs *files) error {
	var system syscall.Errno
	switch {
	case errors.As(err, &system) && system != syscall.ENOENT:
		return err
	case errors.Is(err, cockroach.ErrDBDoesNotExist):
		return damage(fs.PathJoin(fs.ledger.data, "marker.manifest.*"), "is missing")
	case errors.Is(err, cockroach.ErrDBNotPristine):
		return damage(fs.PathJoin(fs.ledger.data, "marker.format-version.*"), "is missing")
	}
	last, _ := fs.last.Load().(string)
	return fmt.Errorf("the last file read was %s: %w", last, isDamaged(err))
}

// isDamaged marks an error as damage of Pebble's files. The first line of the message of Pebble has the reason.
func isDamaged(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("it is damaged: %s: restore the directory from a backup: %w", text, flawless.Damaged)
}

// newest returns the newest sequence number. It applies an empty batch, which gets the next one.
func (db *DB) newest() (uint64, error) {
	b := db.kv.NewBatch()
	if err := b.LogData(nil, nil); err != nil {
		return 0, err
	}
	if err := guard(func() error { return db.kv.Apply(b, cockroach.NoSync) }); err != nil {
		return 0, err
	}
	return uint64(b.SeqNum()) - 1, b.Close()
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

// close closes everything that Open has opened.
func (db *DB) close() error {
	db.tables.close()
	var err error
	if f := db.failed.Load(); db.kv != nil && (f == nil || !f.dead) {
		err = db.closePebble()
	}
	if db.ledger != nil {
		err = errors.Join(err, db.ledger.close())
	}
	return errors.Join(err, db.space.close(), db.lock.release())
}

// closePebble closes Pebble, and then completes the ledger.
func (db *DB) closePebble() error {
	if db.isBroken() || !db.opened.Load() {
		return guard(db.kv.Close)
	}
	newest, err := db.newest()
	if err = errors.Join(err, guard(db.kv.Close)); err != nil || db.isBroken() {
		return err
	}
	return db.ledger.finish(newest)
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

// damaged logs a damaged table. Reading it returns an error; everything else continues.
func (db *DB) damaged(info cockroach.DataCorruptionInfo) {
	db.log.Error("database damaged, restore it from a backup", "file", info.Path, "error", info.Details)
}

// fail makes every later Apply return err.
func (db *DB) fail(err error, dead bool) {
	f := &failure{fmt.Errorf("the database no longer accepts writes: %w: check that the disk has space and works, then restart the server", err), dead}
	db.durable.fail(f.err) // first, so that no waiter mistakes later writes for synced ones
	if old := db.failed.Load(); old == nil || dead && !old.dead {
		db.failed.Store(f)
		db.log.Error("database no longer accepts writes", "error", err)
	}
}

func (db *DB) isBroken() bool { return db.failed.Load() != nil }

// ready returns an error if the database cannot be read.
func (db *DB) ready(ctx context.Context) error {
	if db.closed.Load() {
		return fmt.Errorf("the database is closed: %w", flawless.Stopping)
	}
	return ctx.Err()
}

// writable returns an error if the database cannot be written.
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

// explained adds the matching code to an error of Pebble.
func explained(err error) error {
	switch {
	case err == nil:
		return nil
	case cockroach.IsCorruptionError(err):
		return isDamaged(err)
	case errors.Is(err, fs.ErrPermission), errno.ReadOnly(err):
		return fmt.Errorf("it is not writable: %w: give this user write permission, or use another --working-dir: %w", err, flawless.Invalid)
	}
	return err
}
