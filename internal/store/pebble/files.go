package pebble

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// files is the file system that Pebble uses.
//
// Pebble reacts to an error of its log with a panic while it holds locks, to one of its manifest by ending the process,
// and to one of a table by retrying forever. So files hides errors of logs and manifests from Pebble, and those of tables
// after too many retries. Instead it calls failed. From then on, nothing in the directory changes, as after a power
// failure, and new files are created in memory, so that nothing in Pebble waits for the disk. After waiting for a sync,
// check whether the database has failed.
type files struct {
	vfs.FS
	failed func(err error, dead bool)
	broken func() bool
	tables *tables
	ledger *ledger
	last   atomic.Value // path of the last file that was opened
	aside  *vfs.MemFS   // files that are created after a failure, all in one directory
}

// Create implements vfs.FS.
func (w *files) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		return w.createTable(name, category)
	}
	return w.createQuiet(name, category)
}

// ReuseForWrite implements vfs.FS. Pebble overwrites old logs.
func (w *files) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !w.broken() {
		err := w.ledger.forget(w.PathBase(old))
		if err == nil {
			var f vfs.File
			if f, err = w.FS.ReuseForWrite(old, name, category); err == nil {
				return w.quiet(f, name), nil
			}
		}
		w.failed(fmt.Errorf("creating file %s: %w", name, err), false)
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

// createTable creates a table, or after a failure one in memory, so that nothing waits for it. A compaction that nothing
// waits for blocks until the database is closed.
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

// createQuiet creates a file whose errors are hidden from Pebble.
func (w *files) createQuiet(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !w.broken() {
		f, err := w.FS.Create(name, category)
		if err == nil {
			return w.quiet(f, name), nil
		}
		w.failed(fmt.Errorf("creating file %s: %w", name, err), false)
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

// quiet is a file or directory whose errors are reported to the database instead of Pebble. Pebble writes files that the
// ledger tracks sequentially, and syncs them afterwards.
type quiet struct {
	vfs.File // for methods that do not write
	fs       *files
	name     string // in the ledger; empty if it does not track the file
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
	f.written.sum = crc32.Update(f.written.sum, f.fs.ledger.crc, p) // before the write, because that may change p
	f.try("writing", func() error { _, err := f.File.Write(p); return err })
	return len(p), nil
}

// Sync implements vfs.File.
func (f *quiet) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *quiet) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File. It syncs the whole file.
func (f *quiet) SyncTo(int64) (bool, error) { return true, f.SyncData() }

func (f *quiet) sync(do func() error) error {
	return f.try("syncing", func() error {
		if err := do(); err != nil || f.name == "" {
			return err
		}
		return f.fs.ledger.note(f.name, f.written)
	})
}

// try calls do unless the database has failed. It always returns nil.
func (f *quiet) try(what string, do func() error) error {
	if f.fs.broken() {
		return nil
	}
	if err := do(); err != nil {
		f.fs.failed(fmt.Errorf("%s the files of the database: %w", what, err), false)
	}
	return nil
}
