package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// files is the file system as Pebble sees it.
//
// Pebble answers an error of its log with a panic under locks, one of its manifest by ending the process,
// and one of a table by trying again for ever. So it sees none of the first two, and no more of the last
// than the database bears: the database is told (failed), and from then on nothing in the directory is
// changed, as if the power had gone off at that moment. Files are made in memory then, so that nobody
// inside Pebble waits for the disk. Whoever waits for a sync must ask the database whether it has failed.
type files struct {
	vfs.FS
	failed func(err error, dead bool)
	broken func() bool
	tables *tables
	ledger *ledger
	last   atomic.Value // path of the file that was opened last
	aside  *vfs.MemFS   // has the files that are made when it is broken, all in one folder
}

// Create implements vfs.FS.
func (w *files) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		return w.createTable(name, category)
	}
	return w.createQuiet(name, category)
}

// ReuseForWrite implements vfs.FS. Pebble writes a log over one it no longer needs.
func (w *files) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !w.broken() {
		err := w.ledger.forget(w.PathBase(old))
		if err == nil {
			var f vfs.File
			if f, err = w.FS.ReuseForWrite(old, name, category); err == nil {
				return w.quiet(f, name), nil
			}
		}
		w.failed(fmt.Errorf("making file %s: %w", name, err), false)
	}
	return w.aside.Create(w.PathBase(name), category)
}

// Remove implements vfs.FS.
func (w *files) Remove(name string) error {
	if w.broken() {
		_ = w.aside.Remove(w.PathBase(name))
		return nil
	}
	if err := w.ledger.forget(w.PathBase(name)); err != nil {
		w.failed(fmt.Errorf("removing file %s: %w", name, err), false)
		return nil
	}
	return w.FS.Remove(name)
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// createTable makes a table, or one in memory when the database has failed: what waits for it goes on.
// A compaction that nobody waits for ends with the database.
func (w *files) createTable(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	w.tables.rest(category)
	if !w.broken() {
		return w.FS.Create(name, category)
	}
	if category == compaction && !w.tables.awaited.Load() {
		<-w.tables.closing
		return nil, errors.New("the database has failed")
	}
	return w.aside.Create(w.PathBase(name), category)
}

// createQuiet makes a file of which Pebble bears no error.
func (w *files) createQuiet(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !w.broken() {
		f, err := w.FS.Create(name, category)
		if err == nil {
			return w.quiet(f, name), nil
		}
		w.failed(fmt.Errorf("making file %s: %w", name, err), false)
	}
	return w.aside.Create(w.PathBase(name), category)
}

// Open implements vfs.FS.
func (w *files) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	if w.broken() {
		if f, err := w.aside.Open(w.PathBase(name), o...); err == nil {
			return f, nil
		}
	}
	w.last.Store(name)
	return w.FS.Open(name, o...)
}

// OpenDir implements vfs.FS.
func (w *files) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return w.quiet(f, name), nil
}

// Rename implements vfs.FS.
func (w *files) Rename(old, name string) error {
	if w.broken() {
		_ = w.aside.Rename(w.PathBase(old), w.PathBase(name))
		return nil
	}
	return w.FS.Rename(old, name)
}

// quiet is a file or a folder whose errors the database is told, and Pebble is not. Pebble writes those of
// which the ledger keeps account from their beginning to their end, and syncs them when it has.
type quiet struct {
	vfs.File // all but what changes it
	fs       *files
	name     string // for the ledger; empty where it keeps no account
	written  extent
}

func (w *files) quiet(f vfs.File, path string) *quiet {
	q := &quiet{File: f, fs: w}
	if name := w.PathBase(path); isLog(name) || strings.HasPrefix(name, "MANIFEST") {
		q.name = name
	}
	return q
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// Write implements vfs.File.
func (f *quiet) Write(p []byte) (int, error) {
	f.written.size += int64(len(p))
	f.written.sum = crc32.Update(f.written.sum, f.fs.ledger.crc, p) // before the write, which may change p
	f.try("writing", func() error { _, err := f.File.Write(p); return err })
	return len(p), nil
}

// Sync implements vfs.File.
func (f *quiet) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *quiet) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File. It syncs all.
func (f *quiet) SyncTo(int64) (bool, error) { return true, f.SyncData() }

func (f *quiet) sync(do func() error) error {
	return f.try("syncing", func() error {
		if err := do(); err != nil || f.name == "" {
			return err
		}
		return f.fs.ledger.note(f.name, f.written)
	})
}

// try does something unless the database has failed. It returns nil.
func (f *quiet) try(what string, do func() error) error {
	if f.fs.broken() {
		return nil
	}
	if err := do(); err != nil {
		f.fs.failed(fmt.Errorf("%s the files of the database: %w", what, err), false)
	}
	return nil
}
