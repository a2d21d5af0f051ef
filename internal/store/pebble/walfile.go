package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

// gathered is how many bytes of a log are written at once, at most.
const gathered = 256 << 10

// walFile is a file of the log, written from its start. One goroutine at a time uses it.
//
// What is written is gathered, and goes to the disk with the next sync in whole blocks. The
// last block is seldom full: it is kept, and written again with what comes next.
//
//	on the disk   | block | block | block |
//	                          at ^
//	buf                           | written | fresh | zeros up to the next block |
type walFile struct {
	file   vfs.File
	blocks blocks
	size   int64

	buf   []byte // its memory is aligned
	n     int    // bytes of buf in use
	at    int64  // where buf lies in the file, a multiple of block
	fresh bool   // some of buf was never written
}

func newWALFile(f vfs.File, size int64) *walFile {
	return &walFile{file: f, blocks: newBlocks(f), size: size, buf: aligned(gathered)}
}

// full tells whether there is no room for n bytes more. There is always room for the first after the head.
func (f *walFile) full(n int) bool {
	return f.end() > block && f.end()+int64(n) > f.size
}

// end is where the next byte goes.
func (f *walFile) end() int64 { return f.at + int64(f.n) }

func (f *walFile) write(p []byte) error {
	for len(p) > 0 {
		k := copy(f.buf[f.n:], p)
		f.n, f.fresh, p = f.n+k, true, p[k:]
		if f.n == len(f.buf) {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes what is fresh.
func (f *walFile) flush() error {
	if !f.fresh {
		return nil
	}
	end := whole(f.n)
	clear(f.buf[f.n:end])
	if err := f.blocks.put(f.buf[:end], f.at); err != nil {
		return err
	}
	full := f.n - f.n%block
	copy(f.buf, f.buf[full:f.n])
	f.n, f.at, f.fresh = f.n-full, f.at+int64(full), false
	return nil
}

func (f *walFile) sync() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.file.SyncData()
}

// close closes the file. What was not synced may be lost.
func (f *walFile) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
