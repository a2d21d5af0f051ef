package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newImage makes a base image of b: a file to map, or b itself where memory is to be copied.
func newImage(b []byte, copied bool) (*image, error) {
	if copied || len(b) == 0 {
		return &image{size: len(b), bytes: b}, nil
	}
	fd, err := unix.MemfdCreate("flawless-image", unix.MFD_CLOEXEC)
	if err != nil { // such as EMFILE: without a file to map, its bytes are copied
		return &image{size: len(b), bytes: b}, nil
	}
	f := os.NewFile(uintptr(fd), "flawless-image")
	if _, err := f.Write(b); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("writing a base image of %d bytes: %w", len(b), err)
	}
	m := &image{size: len(b), bytes: b, file: f}
	m.pagemap, _ = os.Open("/proc/self/pagemap") // without it, memory is dropped and not copied back
	return m, nil
}

func newLinear(base *image, limit uint64, copied bool) (linear, error) {
	if copied || limit == 0 || base != nil && base.file == nil {
		return newCopied(base, limit)
	}
	return newMapped(base, limit)
}

// mapped is memory whose whole address space is reserved at once, so that it never moves. Pages of
// the base image are copied when they are written to.
//
//	0                     base          size           opened      limit
//	| base, copy-on-write | zero, in use | zero, unused | reserved |
type mapped struct {
	base   *image
	all    []byte
	size   uint64
	opened uint64
	shrunk bool
}

func newMapped(base *image, limit uint64) (linear, error) {
	if base != nil && uint64(base.size) > limit {
		return nil, fmt.Errorf("a base image of %d bytes is above the limit of %d", base.size, limit)
	}
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserving %d MiB of address space for a guest: %w", limit>>20, err)
	}
	l := &mapped{base: base, all: unsafe.Slice((*byte)(p), limit)}
	if base != nil {
		if _, err := unix.MmapPtr(int(base.file.Fd()), 0, p, uintptr(base.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE); err != nil {
			l.Free()
			return nil, fmt.Errorf("mapping a base image: %w", err)
		}
		l.size, l.opened = uint64(base.size), uint64(base.size)
	}
	// Huge pages would make every guest pay for 2 MiB where it touches 4 KiB.
	_ = unix.Madvise(l.all, unix.MADV_NOHUGEPAGE)
	return l, nil
}

func (l *mapped) bytes() []byte { return l.all[:l.size] }

func (l *mapped) Reallocate(size uint64) []byte {
	if l.shrunk {
		l.shrunk = false
		return l.all[:l.size:l.size]
	}
	if size > uint64(len(l.all)) {
		return nil
	}
	if size > l.opened {
		if err := unix.Mprotect(l.all[l.opened:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			// The guest must not see this: it would go on differently in a replay.
			panic(&interrupted{fmt.Errorf("giving a guest %d bytes of memory: %w", size, err)})
		}
		l.opened = size
	}
	l.size = max(l.size, size)
	return l.all[:size:size]
}

func (l *mapped) Free() {
	if l.all != nil {
		_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(l.all)), uintptr(len(l.all)))
		l.all, l.size, l.opened = nil, 0, 0
	}
}

func (l *mapped) reset() bool {
	if l.base == nil || l.all == nil {
		return false
	}
	grown := l.opened > uint64(l.base.size)
	l.shrunk = l.size > uint64(l.base.size)
	l.size = uint64(l.base.size)
	if grown && unix.Madvise(l.all[l.size:l.opened], unix.MADV_DONTNEED) != nil {
		return false
	}
	own, known := l.own(make([]span, 0, mostSpans), mostPages, mostSpans)
	if !known {
		return unix.Madvise(l.all[:l.size], unix.MADV_DONTNEED) == nil
	}
	for _, s := range own {
		copy(l.all[s.from:s.to], l.base.bytes[s.from:s.to])
	}
	return true
}

// A few pages are cheaper copied back than dropped, which costs a page fault each in the next run.
const (
	mostPages = 160
	mostSpans = 96
)

func (l *mapped) touched() []span {
	if l.base == nil {
		return []span{{0, l.size}}
	}
	own, known := l.own(nil, l.base.size, l.base.size)
	if !known {
		return []span{{0, l.size}}
	}
	if end := uint64(l.base.size); l.size > end {
		own = append(own, span{end, l.size})
	}
	return own
}

// own finds the pages that are not those of the base image any more: the kernel has copied them when
// they were written to. It gives up where there are more pages or spans than that.
// https://docs.kernel.org/admin-guide/mm/pagemap.html
func (l *mapped) own(out []span, most, spans int) (own []span, known bool) {
	if l.base.pagemap == nil {
		return nil, false
	}
	const entry = 8
	page := os.Getpagesize()
	from := uintptr(unsafe.Pointer(unsafe.SliceData(l.all))) / uintptr(page)
	var buf [512 * entry]byte
	pages := l.base.size / page
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
			if n := len(out); n > 0 && out[n-1].to == at {
				out[n-1].to += uint64(page)
			} else {
				out = append(out, span{at, at + uint64(page)})
			}
			if found++; found > most || len(out) > spans {
				return nil, false
			}
		}
	}
	return out, true
}
