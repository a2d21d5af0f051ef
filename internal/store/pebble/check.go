package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless/internal/store"
)

// CheckFiles implements store.FileChecker. It reads every table that exists when it starts, and verifies the checksum of
// each block. It bypasses Pebble's cache, which says nothing about the disk. Logs and manifests are checked when the
// database is opened.
func (db *DB) CheckFiles(ctx context.Context, o store.CheckFiles) ([]store.BadFile, error) {
	if err := db.ready(ctx); err != nil {
		return nil, err
	}
	todo, err := db.liveTables()
	if err != nil {
		return nil, err
	}
	p := &pacer{ctx: ctx, rate: o.Rate, progress: o.Progress}
	for _, t := range todo {
		p.total += int64(t.Size)
	}
	var bad []store.BadFile
	before := int64(0)
	for _, t := range todo {
		if err := db.ready(ctx); err != nil {
			return bad, err
		}
		p.limit = before + int64(t.Size) // a damaged table is read more than once
		found, err := db.checkTable(t, p)
		if err != nil {
			return bad, err
		}
		if found != nil {
			db.log.Error("database damaged, restore it from a backup", "file", db.tablePath(t), "reason", found.Reason)
			bad = append(bad, *found)
		}
		before += int64(t.Size)
		p.reach(before)
	}
	return bad, nil
}

// liveTables returns the current tables of the database, newest first.
func (db *DB) liveTables() (all []cockroach.SSTableInfo, err error) {
	levels, err := db.kv.SSTables()
	if err != nil {
		return nil, fmt.Errorf("listing the tables of the database: %w", err)
	}
	return slices.Concat(levels...), nil
}

func tableName(t cockroach.SSTableInfo) string { return fmt.Sprintf("%06d.sst", t.BackingSSTNum) }

func (db *DB) tablePath(t cockroach.SSTableInfo) string {
	return db.files.PathJoin(db.lock.data, tableName(t))
}

// checkTable reads a table. It returns nil if it is intact or was removed meanwhile.
func (db *DB) checkTable(t cockroach.SSTableInfo, p *pacer) (*store.BadFile, error) {
	from, to, err := db.readTable(t, p)
	if err == nil || p.ctx.Err() != nil {
		return nil, p.ctx.Err()
	}
	var system syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if still, e := db.isLive(t); e != nil || !still {
			return nil, e // a compaction has replaced it
		}
	case errors.As(err, &system) && system != syscall.EIO:
		return nil, fmt.Errorf("reading table %s: %w", db.tablePath(t), err) // not a fault of the table
	}
	reason, _, _ := strings.Cut(err.Error(), "\n")
	return &store.BadFile{Name: tableName(t), Reason: reason, From: from, To: to}, nil
}

// readTable reads a whole table. If it fails, it returns the range of keys that cannot be read, from (inclusive) to to
// (exclusive), which is the range of the whole table if it cannot be narrowed down.
func (db *DB) readTable(t cockroach.SSTableInfo, p *pacer) (from, to []byte, err error) {
	from, to = slices.Clone(t.Smallest.UserKey), append(slices.Clone(t.Largest.UserKey), 0)
	f, err := db.files.Open(db.tablePath(t))
	if err != nil {
		return from, to, err
	}
	readable, err := sstable.NewSimpleReadable(&pacedFile{f, p})
	if err != nil {
		return from, to, errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(p.ctx, readable, tableOptions())
	if err != nil {
		return from, to, errors.Join(err, readable.Close())
	}
	defer func() { _ = r.Close() }() // it is only read
	if err = r.ValidateBlockChecksums(); err == nil {
		return nil, nil, nil
	}
	before, behind := unreadable(r)
	if before != nil {
		from = append(before, 0)
	}
	if behind != nil {
		to = behind
	}
	return from, to, err
}

// isLive reports whether a table is still part of the database.
func (db *DB) isLive(t cockroach.SSTableInfo) (bool, error) {
	now, err := db.liveTables()
	return slices.ContainsFunc(now, func(x cockroach.SSTableInfo) bool { return x.BackingSSTNum == t.BackingSSTNum }), err
}

// tableOptions returns the default options of Pebble, which openPebble uses to write tables.
func tableOptions() sstable.ReaderOptions {
	var o cockroach.Options
	o.EnsureDefaults()
	return o.MakeReaderOptions()
}

// unreadable returns the last key before the first damaged block of a table, and the first key after the last damaged
// block. Each is nil if there is none; both are nil if all keys can be read.
func unreadable(r *sstable.Reader) (from, to []byte) {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, nil
	}
	defer func() { _ = it.Close() }() // it only repeats the error
	for kv := it.First(); kv != nil; kv = it.Next() {
		from = append(from[:0], kv.K.UserKey...)
	}
	if it.Error() == nil {
		return nil, nil
	}
	for kv := it.Last(); kv != nil; kv = it.Prev() {
		to = append(to[:0], kv.K.UserKey...)
	}
	return from, to
}

// pacer limits the speed of reading, so that a check does not slow down the server, and reports progress.
type pacer struct {
	ctx      context.Context
	rate     func() int64 // bytes per second; nil is unlimited
	owed     time.Duration
	progress func(read, total int64) // may be nil

	total int64
	read  int64
	limit int64 // maximum of read until the next table
}

// shortestPause is the shortest pause that is worth a timer.
const shortestPause = 10 * time.Millisecond

// took accounts for n bytes that were read, and waits until more may be read.
func (p *pacer) took(n int) error {
	p.reach(min(p.read+int64(n), p.limit))
	if p.rate == nil {
		return p.ctx.Err()
	}
	if p.owed += time.Duration(n) * time.Second / time.Duration(p.rate()); p.owed < shortestPause {
		return p.ctx.Err()
	}
	wait := time.NewTimer(p.owed)
	defer wait.Stop()
	p.owed = 0
	select {
	case <-wait.C:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pacer) reach(read int64) {
	if p.read = max(p.read, read); p.progress != nil {
		p.progress(p.read, p.total)
	}
}

// pacedFile is a table that is read through a pacer.
type pacedFile struct {
	vfs.File
	p *pacer
}

// ReadAt implements io.ReaderAt.
func (f *pacedFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.p.took(len(b)); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}
