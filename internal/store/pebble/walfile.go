package pebble

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gathered is how many bytes of a log are kept until they are written without a sync.
const gathered = 256 << 10

// walFile is a log file. Its writes and syncs never return an error. One goroutine at a time uses it.
//
// What Pebble writes is gathered, and goes to the disk with the next sync in whole blocks. The
// last block is seldom full: it is kept, and written again with what comes next.
//
//	on the disk   | block | block | block |
//	                          at ^
//	buf                           | written | fresh | zeros up to the next block |
type walFile struct {
	vfs.File // all but Write, the syncs and Close
	blocks   blocks
	fs       *walFS

	buf   []byte // its memory is aligned
	n     int    // bytes of buf in use
	at    int64  // where buf lies in the file, a multiple of block
	fresh bool   // some of buf was never written
}

func newWALFile(f vfs.File, fs *walFS) *walFile {
	return &walFile{File: f, blocks: newBlocks(f), fs: fs, buf: aligned(gathered)}
}

// Write implements vfs.File.
func (f *walFile) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !f.fs.broken() {
		k := copy(f.buf[f.n:], p)
		f.n, f.fresh, p = f.n+k, true, p[k:]
		if f.n == len(f.buf) {
			f.flush()
		}
	}
	return n, nil
}

// flush writes what is fresh.
func (f *walFile) flush() {
	if !f.fresh || f.fs.broken() {
		return
	}
	end := whole(f.n)
	clear(f.buf[f.n:end])
	if err := f.blocks.put(f.buf[:end], f.at); err != nil {
		f.fs.failed(fmt.Errorf("writing the log: %w", err), false)
		return
	}
	full := f.n - f.n%block
	copy(f.buf, f.buf[full:f.n])
	f.n, f.at, f.fresh = f.n-full, f.at+int64(full), false
}

// Sync implements vfs.File.
func (f *walFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *walFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File. It syncs all.
func (f *walFile) SyncTo(int64) (bool, error) { return true, f.SyncData() }

// Preallocate implements vfs.File. The space is there already.
func (f *walFile) Preallocate(int64, int64) error { return nil }

// Close implements vfs.File.
func (f *walFile) Close() error {
	f.flush()
	return f.File.Close()
}

func (f *walFile) sync(do func() error) error {
	f.flush()
	if f.fs.broken() {
		return nil
	}
	if err := do(); err != nil {
		f.fs.failed(fmt.Errorf("syncing the log: %w", err), false)
	}
	return nil
}
