package pebble

import (
	"errors"
	"syscall"
	"unsafe"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// block is what memory, place and length of a write past the system's cache are multiples of.
const block = 4096

// blocks writes whole blocks of a file, past the system's cache where that is possible. What is
// written once, synced at once and read only after a crash gains nothing from the cache, and a
// write through it and the sync of it take a third longer.
type blocks struct {
	file   vfs.File
	direct bool
}

func newBlocks(f vfs.File) blocks {
	fd := f.Fd()
	return blocks{f, fd != vfs.InvalidFd && bypass(fd, true)}
}

// put writes p, aligned memory of whole blocks, at a multiple of block.
func (b *blocks) put(p []byte, at int64) error {
	_, err := b.file.WriteAt(p, at)
	if b.direct && errors.Is(err, syscall.EINVAL) && bypass(b.file.Fd(), false) {
		b.direct = false // a file system that asks for more than we give
		_, err = b.file.WriteAt(p, at)
	}
	return err
}

// aligned returns n bytes whose memory begins at a multiple of block.
func aligned(n int) []byte {
	b := make([]byte, n+block)
	past := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % block)
	skip := whole(past) - past
	return b[skip : skip+n : skip+n]
}

// whole returns the length of the blocks that n bytes take.
func whole(n int) int { return (n + block - 1) / block * block }
