package pebble

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless/internal/errno"
)

// tables watches whether what lies in the log gets to tables, and tables to larger ones. Where that
// fails Pebble tries again at once and for ever, and whoever opens or writes waits for it.
//
//	it fails                 what is done
//	---------------------    -------------------------------------------------------------
//	in any way               the next table is made after a pause, which grows
//	as the disk is full      Apply returns flawless.Full until a flush succeeds
//	mostSetbacks in a row    the database fails; while the disk is full only if somebody waits
type tables struct {
	pause       time.Duration
	flushes     atomic.Int32 // how many failed in a row
	compactions atomic.Int32
	full        atomic.Bool // the last flush found the disk full
	awaited     atomic.Bool // Open or a write waits for a table
	closing     chan struct{}
}

// What is done about setbacks: with a first pause of 10 ms they take four seconds.
const (
	mostSetbacks = 12
	mostDoubled  = 6 // times that the pause is
)

const noTables = "the disk is full and what is in the log cannot be moved to tables: free some space"

// nothingFlushed is the error of a flush that had nothing to write and needed no table.
const nothingFlushed = "pebble: empty table"

func (t *tables) open(pause time.Duration) {
	t.pause, t.closing = pause, make(chan struct{})
	t.awaited.Store(true)
}

func (t *tables) close() { close(t.closing) }

// compaction is what Pebble says a table is for that is made of others.
const compaction vfs.DiskWriteCategory = "pebble-compaction"

// rest waits before a table is made, if the last one could not be.
func (t *tables) rest(category vfs.DiskWriteCategory) {
	failed := t.flushes.Load()
	if category == compaction {
		failed = t.compactions.Load()
	}
	if failed == 0 {
		return
	}
	wait := time.NewTimer(t.pause << min(failed-1, mostDoubled))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-t.closing:
	}
}

// flushed is told how a flush ended, by Pebble under its lock.
func (db *DB) flushed(info cockroach.FlushInfo) {
	err := info.Err
	if err != nil && err.Error() == nothingFlushed {
		err = nil
	}
	db.tables.full.Store(errno.Full(err))
	db.setback(&db.tables.flushes, err)
}

// compacted is told how a compaction ended, by Pebble under its lock. A damaged table is told to
// those who read it, and does not hold up the others.
func (db *DB) compacted(info cockroach.CompactionInfo) {
	if !errors.Is(info.Err, cockroach.ErrCancelledCompaction) && !cockroach.IsCorruptionError(info.Err) {
		db.setback(&db.tables.compactions, info.Err)
	}
}

// setback counts a failure, or forgets those before where err is nil.
func (db *DB) setback(failed *atomic.Int32, err error) {
	if err == nil {
		failed.Store(0)
		return
	}
	n := failed.Load() + 1
	if errno.Full(err) && !db.tables.awaited.Load() {
		n = min(n, mostSetbacks/2) // there may be space again
	}
	failed.Store(n)
	if n >= mostSetbacks && !db.isBroken() {
		db.fail(fmt.Errorf("writing tables: %w", err), false)
	}
}
