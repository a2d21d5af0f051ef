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
// It never acknowledges or shows a write that is not on stable storage. It does not open a database
// that holds less than was acknowledged, and it does not repair a damaged one.
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
	kv    *cockroach.DB
	files vfs.FS
	log   *slog.Logger
	lock  *lock

	ledger *ledger
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
//	dir/owner    host, number and start of the process that uses it
//	dir/reserve  space kept back
//	dir/synced   what of Pebble's files is on stable storage
//	dir/data/    Pebble's
//	dir/db/      keeps versions out that know only format 1
//
// It returns [flawless.Conflict] where another server uses dir or dir has another format,
// [flawless.Invalid] where dir cannot be written, [flawless.Damaged] where the database is damaged or
// less is there than was acknowledged. A crash at any moment leaves a
// database that opens again and holds every acknowledged batch.
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

// lockFormat locks a directory of our format. It changes nothing in one of another.
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

// format is the version of Pebble's files. It is pinned: a new version of Pebble must not change what a
// directory holds. From [cockroach.FormatWALSyncChunks] on a torn end of the log is told from damage.
const format = cockroach.FormatTableFormatV6

// openPebble opens Pebble. It returns an error as well where that went well and the disk failed meanwhile.
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
	if db.ledger.torn != nil { // also where the power went off while the page was written
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

// notOpened marks an error of Pebble as damage, unless it comes from the system: a file is missing, does not
// have its length or cannot be read.
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

// isDamaged says that Pebble's files are not as they were. Pebble's text has several lines, the first is
// the one that says what is wrong.
func isDamaged(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return fmt.Errorf("it is damaged: %s: restore the directory from a backup: %w", text, flawless.Damaged)
}

// newest returns the sequence number of the newest key: a batch without keys gets the one that comes next.
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

// close closes all that Open opened.
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

// closePebble closes Pebble, and has the ledger say what is there then.
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

// damaged is told of a damaged table. Whoever reads it is told too, and all others go on.
func (db *DB) damaged(info cockroach.DataCorruptionInfo) {
	db.log.Error("database damaged, restore it from a backup", "file", info.Path, "error", info.Details)
}

// fail makes every Apply from now on return err.
func (db *DB) fail(err error, dead bool) {
	f := &failure{fmt.Errorf("the database no longer accepts writes: %w: check that the disk has space and works, then restart the server", err), dead}
	db.gate.fail(f.err) // before the log goes nowhere: nobody may take that for synced
	if old := db.failed.Load(); old == nil || dead && !old.dead {
		db.failed.Store(f)
		db.log.Error("database no longer accepts writes", "error", err)
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
		return isDamaged(err)
	case errors.Is(err, fs.ErrPermission), errno.ReadOnly(err):
		return fmt.Errorf("it is not writable: %w: give this user write permission, or use another --working-dir: %w", err, flawless.Invalid)
	}
	return err
}
