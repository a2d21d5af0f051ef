package memory

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NewImage makes a base image of b, which must not be changed afterwards. With copied, and if the system gives no
// file to map, instances copy the image.
func NewImage(b []byte, copied bool) (*Image, error) {
	if copied || len(b) == 0 {
		return &Image{Bytes: b}, nil
	}
	fd, err := unix.MemfdCreate("flawless-image", unix.MFD_CLOEXEC)
	if err != nil { // such as EMFILE
		return &Image{Bytes: b}, nil
	}
	f := os.NewFile(uintptr(fd), "flawless-image")
	if _, err := f.Write(b); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("writing a base image of %d bytes: %w", len(b), err)
	}
	m := &Image{Bytes: b, file: f}
	m.pagemap, _ = os.Open("/proc/self/pagemap") // without it, Reset drops pages instead of copying them back
	return m, nil
}

// mapped is memory whose whole address space is reserved at once, so that it never moves. Pages of the base image
// are copied when they are written to.
//
//	0                     base          size           opened      limit
//	| base, copy-on-write | zero, in use | zero, unused | reserved |
type mapped struct {
	base   *Image
	all    []byte
	size   uint64
	opened uint64
	shrunk bool
}

func newMapped(base *Image, limit uint64) (Linear, error) {
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserving %d MiB of address space for a guest: %w", limit>>20, err)
	}
	l := &mapped{base: base, all: unsafe.Slice((*byte)(p), limit)}
	if base != nil {
		if _, err := unix.MmapPtr(int(base.file.Fd()), 0, p, uintptr(len(base.Bytes)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE); err != nil {
			l.Free()
			return nil, fmt.Errorf("mapping a base image: %w", err)
		}
		l.size, l.opened = uint64(len(base.Bytes)), uint64(len(base.Bytes))
	}
	// With huge pages a guest that touches 4 KiB would pay for 2 MiB.
	_ = unix.Madvise(l.all, unix.MADV_NOHUGEPAGE)
	return l, nil
}

func (l *mapped) Bytes() []byte { return l.all[:l.size] }

func (l *mapped) Grow(size uint64) ([]byte, error) {
	if l.shrunk {
		l.shrunk = false
		return l.all[:l.size:l.size], nil
	}
	if size > uint64(len(l.all)) {
		return nil, nil
	}
	if size > l.opened {
		if err := unix.Mprotect(l.all[l.opened:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			return nil, fmt.Errorf("giving a guest %d bytes of memory: %w", size, err)
		}
		l.opened = size
	}
	l.size = max(l.size, size)
	return l.all[:size:size], nil
}

func (l *mapped) Free() {
	if l.all != nil {
		_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(l.all)), uintptr(len(l.all)))
		l.all, l.size, l.opened = nil, 0, 0
	}
}

func (l *mapped) Reset() bool {
	if l.base == nil || l.all == nil {
		return false
	}
	grown := l.opened > uint64(len(l.base.Bytes))
	l.shrunk = l.size > uint64(len(l.base.Bytes))
	l.size = uint64(len(l.base.Bytes))
	if grown && unix.Madvise(l.all[l.size:l.opened], unix.MADV_DONTNEED) != nil {
		return false
	}
	own, known := l.own(make([]Span, 0, maxCopySpans), maxCopyPages, maxCopySpans)
	if !known {
		return unix.Madvise(l.all[:l.size], unix.MADV_DONTNEED) == nil
	}
	for _, s := range own {
		copy(l.all[s.From:s.To], l.base.Bytes[s.From:s.To])
	}
	return true
}

// Reset copies pages back if there are no more than this. Dropping a page costs a page fault in the next run, which
// is dearer for a few pages and cheaper for many.
const (
	maxCopyPages = 160
	maxCopySpans = 96
)

func (l *mapped) Touched() []Span {
	if l.base == nil {
		return []Span{{0, l.size}}
	}
	own, known := l.own(nil, len(l.base.Bytes), len(l.base.Bytes))
	if !known {
		return []Span{{0, l.size}}
	}
	if end := uint64(len(l.base.Bytes)); l.size > end {
		own = append(own, Span{end, l.size})
	}
	return own
}

// own appends to out the pages that the kernel has copied because they were written to. It gives up, and known is
// false, if there are more than maxPages pages or maxSpans spans.
// https://docs.kernel.org/admin-guide/mm/pagemap.html
func (l *mapped) own(out []Span, maxPages, maxSpans int) (own []Span, known bool) {
	if l.base.pagemap == nil {
		return nil, false
	}
	const entry = 8
	page := os.Getpagesize()
	from := uintptr(unsafe.Pointer(unsafe.SliceData(l.all))) / uintptr(page)
	var buf [512 * entry]byte
	pages := len(l.base.Bytes) / page
	found := 0
	for first := 0; first < pages; first += len(buf) / entry {
		b := buf[:entry*min(pages-first, len(buf)/entry)]
		if n, err := unix.Pread(int(l.base.pagemap.Fd()), b, entry*int64(from+uintptr(first))); err != nil || n != len(b) {
			return nil, false
		}
		for k := range len(b) / entry {
			const ofFile, swapped, present = 1 << 61, 1 << 62, 1 << 63
			e := binary.LittleEndian.Uint64(b[entry*k:])
			if e&ofFile != 0 || e&(swapped|present) == 0 {
				continue
			}
			at := uint64((first + k) * page)
			if n := len(out); n > 0 && out[n-1].To == at {
				out[n-1].To += uint64(page)
			} else {
				out = append(out, Span{at, at + uint64(page)})
			}
			if found++; found > maxPages || len(out) > maxSpans {
				return nil, false
			}
		}
	}
	return out, true
}
