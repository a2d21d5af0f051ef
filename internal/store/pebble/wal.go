package pebble

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// walFS makes Pebble's write-ahead log fast to sync, and its errors harmless.
//
// A log file is written with zeros, synced, and only then used: a sync of it later writes data
// alone, where that of a growing file writes its length and its map of blocks too, which takes
// twice as long. Pebble uses a log file again when it is done with it.
//
// Pebble answers an error of its log with a panic under locks. So it never sees one: the database
// is told (failed), and everything meant for a log goes nowhere from then on, as if the power had
// gone off at that moment. Whoever waits for a sync must ask the database whether it has failed.
type walFS struct {
	vfs.FS
	base   vfs.FS // without care for a full disk: zeros are not worth spending the reserve
	size   int64
	failed func(err error, dead bool)
	broken func() bool
}

const zeros = 1 << 20 // bytes written at a time

// Create implements vfs.FS.
func (w *walFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !isLog(name) {
		return w.FS.Create(name, category)
	}
	if w.broken() {
		return w.nowhere(name)
	}
	f, err := w.FS.Create(name, category)
	if err == nil {
		f, err = w.fill(f, name, category)
	}
	return w.wrap(f, name, err)
}

// ReuseForWrite implements vfs.FS.
func (w *walFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !isLog(name) {
		return w.FS.ReuseForWrite(old, name, category)
	}
	if w.broken() {
		return w.nowhere(name)
	}
	f, err := w.FS.ReuseForWrite(old, name, category)
	return w.wrap(f, name, err)
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// fill writes zeros to a new file, and returns it at its start. Where there is no space for all of
// them it does with less.
func (w *walFS) fill(f vfs.File, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.Close(); err != nil {
		return nil, err
	}
	f, err := w.base.OpenReadWrite(name, category)
	if err != nil {
		return nil, err
	}
	z, none := newBlocks(f), aligned(zeros)
	for at := int64(0); at < w.size && err == nil; at += zeros {
		err = z.put(none[:whole(int(min(w.size-at, zeros)))], at)
	}
	if err == nil {
		err = f.Sync()
	}
	_ = err // a file without zeros works as well, only slower
	if err := f.Close(); err != nil {
		return nil, err
	}
	return w.FS.OpenReadWrite(name, category)
}

func (w *walFS) wrap(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		w.failed(fmt.Errorf("making log file %s: %w", name, err), false)
		return w.nowhere(name)
	}
	return newWALFile(f, w), nil
}

// nowhere returns a file in memory that nobody reads.
func (w *walFS) nowhere(name string) (vfs.File, error) {
	return vfs.NewMem().Create(w.PathBase(name), vfs.WriteCategoryUnspecified)
}
