package pebble

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// walFS makes Pebble's write-ahead log fast to sync, and errors of the disk harmless.
//
// A log file is written with zeros, synced, and only then used: a sync of it later writes data
// alone, where that of a growing file writes its length and its map of blocks too, which takes
// twice as long. Pebble uses a log file again when it is done with it, but not one of an earlier
// process: that becomes the spare, a file beside the logs that is the next one, so that a database need
// not wait for zeros when it is opened.
//
// Pebble answers an error of its log with a panic under locks, one of its manifest by ending the
// process, and one of a table by trying for ever. So it sees none of the first two, and no more of the
// last than the database bears: the database is told (failed), and nothing in the directory is
// changed from then on, as if the power had gone off at that moment. What is meant for a log goes
// nowhere, and other files are made in memory, so that nobody inside Pebble waits for the disk.
// Whoever waits for a sync must ask the database whether it has failed.
type walFS struct {
	vfs.FS
	base   vfs.FS // without care for a full disk: zeros are not worth spending the reserve
	size   int64
	failed func(err error, dead bool)
	broken func() bool
	tables *tables
	aside  *vfs.MemFS // has the files that are made when it is broken, all in one folder

	opened atomic.Bool // before, nothing is removed

	mu      sync.Mutex
	later   []string // logs that are removed then
	removal *time.Timer
	working sync.WaitGroup
}

// removeAfter is how long the work of a server that comes up goes before the removal of its logs.
const removeAfter = 5 * time.Second

// The spare, and what it is called while it is made.
const (
	spareName = "spare"
	newSpare  = "spare.new"
)

const zeros = 1 << 20 // bytes written at a time

// Create implements vfs.FS.
func (w *walFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	switch {
	case isTable(name):
		return w.createTable(name, category)
	case !isLog(name):
		return w.createQuiet(name, category)
	case w.broken():
		return w.nowhere(name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if spare, there := w.spare(name); there {
		f, err := w.FS.ReuseForWrite(spare, name, category)
		return w.wrap(f, name, err)
	}
	f, err := w.FS.Create(name, category)
	if err == nil {
		f, err = w.fill(f, name, category)
	}
	w.working.Go(func() { w.makeSpare(name, category) })
	return w.wrap(f, name, err)
}

// spare returns the name of the spare beside a file, and whether it is there and as large as it should
// be. The caller holds mu.
func (w *walFS) spare(beside string) (name string, there bool) {
	name = w.PathJoin(w.PathDir(beside), spareName)
	fi, err := w.FS.Stat(name)
	return name, err == nil && fi.Size() == int64(whole(int(w.size)))
}

// makeSpare makes a spare of zeros. Where it cannot be made, there is none.
func (w *walFS) makeSpare(beside string, category vfs.DiskWriteCategory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, there := w.spare(beside)
	if there || w.broken() {
		return
	}
	half := w.PathJoin(w.PathDir(beside), newSpare)
	f, err := w.base.Create(half, category)
	if err == nil {
		f, err = w.fill(f, half, category)
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = w.base.Rename(half, name)
	}
	if err != nil {
		_ = w.base.Remove(half)
	}
}

// Remove implements vfs.FS. To remove a log takes tens of milliseconds, in which nothing else of its folder
// can be synced. So nobody who opens a database waits for that: where it is not removed at last, Pebble
// finds it the next time.
func (w *walFS) Remove(name string) error {
	if isLog(name) && !w.broken() && w.keeps(name) {
		return nil
	}
	if w.broken() {
		_ = w.aside.Remove(w.PathBase(name))
		return nil
	}
	return w.FS.Remove(name)
}

// keeps makes a log that nobody needs any more the spare, where there is none, or notes that it is to be
// removed later, and reports whether it has done one of these.
func (w *walFS) keeps(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	spare, there := w.spare(name)
	fi, err := w.FS.Stat(name)
	switch {
	case err != nil:
		return false
	case !there && fi.Size() == int64(whole(int(w.size))) && w.FS.Rename(name, spare) == nil:
		return true
	case w.opened.Load():
		return false
	}
	w.later = append(w.later, name)
	return true
}

// ready is called when the database is open.
func (w *walFS) ready() {
	w.opened.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.later) > 0 {
		w.removal = time.AfterFunc(removeAfter, w.remove)
	}
}

// remove removes the logs that were kept until the database was open.
func (w *walFS) remove() {
	w.mu.Lock()
	later := w.later
	w.later = nil
	w.working.Add(1)
	w.mu.Unlock()
	defer w.working.Done()
	for _, name := range later {
		if !w.broken() {
			_ = w.FS.Remove(name) // Pebble finds it again
		}
	}
}

// close waits for what is done beside the database, or leaves it.
func (w *walFS) close() {
	w.mu.Lock()
	if w.removal != nil {
		w.removal.Stop()
	}
	w.later = nil
	w.mu.Unlock()
	w.working.Wait()
}

// ReuseForWrite implements vfs.FS.
func (w *walFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	switch {
	case w.broken():
		return w.nowhere(name)
	case !isLog(name):
		return w.FS.ReuseForWrite(old, name, category)
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
