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

// tables monitors flushes and compactions. If one fails, Pebble retries at once and forever, while Open or writes wait.
//
//	failure                  action
//	---------------------    -------------------------------------------------------------
//	any                      the next table is written after a growing pause
//	because of a full disk   Apply returns flawless.Full until a flush succeeds
//	maxSetbacks in a row     the database fails; if the disk is full, only if something waits
type tables struct {
	pause       time.Duration
	flushes     atomic.Int32 // failures in a row
	compactions atomic.Int32
	full        atomic.Bool // the last flush found the disk full
	awaited     atomic.Bool // Open or a write waits for a table
	closing     chan struct{}
}

// Limits of retries. With a first pause of 10 ms, they take four seconds.
const (
	maxSetbacks = 12
	maxDoubled  = 6 // of the pause
)

const noTables = "the disk is full and what is in the log cannot be moved to tables: free some space"

// nothingFlushed is the error of a flush that had nothing to write and needed no table.
const nothingFlushed = "pebble: empty table"

func (t *tables) open(pause time.Duration) {
	t.pause, t.closing = pause, make(chan struct{})
	t.awaited.Store(true)
}

func (t *tables) close() { close(t.closing) }

// compaction is the category of tables that compactions write.
const compaction vfs.DiskWriteCategory = "pebble-compaction"

// rest waits before a table is written if the last one failed.
func (t *tables) rest(category vfs.DiskWriteCategory) {
	failed := t.flushes.Load()
	if category == compaction {
		failed = t.compactions.Load()
	}
	if failed == 0 {
		return
	}
	wait := time.NewTimer(t.pause << min(failed-1, maxDoubled))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-t.closing:
	}
}

// flushed is called by Pebble, under its lock, at the end of a flush.
func (db *DB) flushed(info cockroach.FlushInfo) {
	err := info.Err
	if err != nil && err.Error() == nothingFlushed {
		err = nil
	}
	db.tables.full.Store(errno.Full(err))
	db.setback(&db.tables.flushes, err)
}

// compacted is called by Pebble, under its lock, at the end of a compaction. Damaged tables do not count: reading them
// returns an error, and the other tables are not affected.
func (db *DB) compacted(info cockroach.CompactionInfo) {
	if !errors.Is(info.Err, cockroach.ErrCancelledCompaction) && !cockroach.IsCorruptionError(info.Err) {
		db.setback(&db.tables.compactions, info.Err)
	}
}

// setback counts a failure, or resets the count if err is nil.
func (db *DB) setback(failed *atomic.Int32, err error) {
	if err == nil {
		failed.Store(0)
		return
	}
	n := failed.Load() + 1
	if errno.Full(err) && !db.tables.awaited.Load() {
		n = min(n, maxSetbacks/2) // there may be space later
	}
	failed.Store(n)
	if n >= maxSetbacks && !db.isBroken() {
		db.fail(fmt.Errorf("writing tables: %w", err), false)
	}
}
