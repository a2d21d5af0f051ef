package guest

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// image is the base image of a module, in a file without a name that instances map copy-on-write.
type image struct {
	bytes []byte // the whole, for reading
	file  *os.File
}

func newImage(b []byte) (*image, error) {
	fd, err := unix.MemfdCreate("flawless-image", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making room for a base image: %w", err)
	}
	f := os.NewFile(uintptr(fd), "flawless-image")
	if _, err := f.Write(b); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("writing a base image of %d bytes: %w", len(b), err)
	}
	return &image{b, f}, nil
}

func (m *image) close() { _ = m.file.Close() }

// linear is the memory of one instance. All it may ever need is reserved at once, so that it never
// moves; pages of the base image are copied when they are written to.
//
//	0          image            size            max
//	| base, copy-on-write | zero, private | reserved |
type linear struct {
	base *image
	all  []byte // reserved
	size uint64 // in use
}

func newLinear(base *image, limit uint64) (*linear, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserving %d MiB of address space for a guest: %w", limit>>20, err)
	}
	l := &linear{base: base, all: unsafe.Slice((*byte)(p), limit)}
	if base != nil {
		n := uintptr(len(base.bytes))
		if _, err := unix.MmapPtr(int(base.file.Fd()), 0, p, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE); err != nil {
			l.Free()
			return nil, fmt.Errorf("mapping a base image: %w", err)
		}
		l.size = uint64(n)
	}
	// Huge pages would make every guest pay for 2 MiB where it touches 4 KiB.
	_ = unix.Madvise(l.all, unix.MADV_NOHUGEPAGE)
	return l, nil
}

// Reallocate returns the first size bytes of the memory, which do not move; nil where there is no
// room.
func (l *linear) Reallocate(size uint64) []byte {
	if size > uint64(len(l.all)) {
		return nil
	}
	if size > l.size {
		if unix.Mprotect(l.all[l.size:size], unix.PROT_READ|unix.PROT_WRITE) != nil {
			return nil
		}
		l.size = size
	}
	return l.all[:size:size]
}

// Free gives the memory back.
func (l *linear) Free() {
	if l.all != nil {
		_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(l.all)), uintptr(len(l.all)))
		l.all = nil
	}
}

// reset makes the memory equal to the base image again. It tells whether it could: memory that has
// grown cannot shrink.
func (l *linear) reset() bool {
	if l.base == nil || l.size != uint64(len(l.base.bytes)) {
		return false
	}
	return unix.Madvise(l.all[:l.size], unix.MADV_DONTNEED) == nil
}
