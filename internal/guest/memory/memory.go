package memory

import (
	"fmt"
	"os"
)

// Linear is the linear memory of one instance. It is not safe for concurrent use.
type Linear interface {
	// Grow makes the memory at least size bytes large and returns its first size bytes. It returns nil above
	// the limit, which the guest sees as a memory.grow that fails. The error means that the system has no
	// memory to give.
	Grow(size uint64) ([]byte, error)

	// Bytes returns the memory in use. It is valid until the next Grow, Reset or Free.
	Bytes() []byte

	// Touched returns the parts that may differ from the base image, or from zero behind its end.
	Touched() []Span

	// Reset makes the memory equal to the base image again, and reports whether it could. If the memory had
	// grown, the next Grow returns the memory of the base image whatever its argument: that is how the
	// WebAssembly runtime learns that the memory has shrunk.
	Reset() bool

	// Free releases the memory.
	Free()
}

// Image is the memory with which all guests of a module begin.
type Image struct {
	Bytes []byte   // must not be changed
	Sum   [32]byte // SHA-256 of Bytes, set by the caller

	file    *os.File // unnamed, mapped copy-on-write; nil if instances copy Bytes
	pagemap *os.File // tells which pages of an instance are its own; may be nil
}

// Span is a range of memory.
type Span struct{ From, To uint64 }

// Close releases what the image holds besides Bytes. Memory that was made from it stays valid.
func (m *Image) Close() {
	for _, f := range []*os.File{m.file, m.pagemap} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// New returns memory that begins as base, or empty if base is nil, and does not grow above limit bytes. With
// copied it works as on a system that cannot map images; only tests need that.
func New(base *Image, limit uint64, copied bool) (Linear, error) {
	if base != nil && uint64(len(base.Bytes)) > limit {
		return nil, fmt.Errorf("a base image of %d bytes is above the limit of %d", len(base.Bytes), limit)
	}
	if copied || limit == 0 || base != nil && base.file == nil {
		return newCopied(base, limit), nil
	}
	return newMapped(base, limit)
}

// copied is memory that begins as a copy of the base image. It works on every system.
type copied struct {
	base   *Image
	all    []byte
	limit  uint64
	shrunk bool
}

func newCopied(base *Image, limit uint64) *copied {
	l := &copied{base: base, limit: limit}
	if base != nil {
		l.all = append(l.all, base.Bytes...)
	}
	return l
}

func (l *copied) Bytes() []byte { return l.all }

func (l *copied) Grow(size uint64) ([]byte, error) {
	if l.shrunk {
		l.shrunk = false
		return l.all, nil
	}
	if size > l.limit {
		return nil, nil
	}
	if n := uint64(len(l.all)); size > n {
		l.all = append(l.all, make([]byte, size-n)...)
	}
	return l.all[:size:size], nil
}

func (l *copied) Free() { l.all = nil }

func (l *copied) Touched() []Span { return []Span{{0, uint64(len(l.all))}} }

func (l *copied) Reset() bool {
	if l.base == nil || len(l.all) < len(l.base.Bytes) {
		return false
	}
	l.shrunk = len(l.all) > len(l.base.Bytes)
	l.all = l.all[:len(l.base.Bytes):len(l.base.Bytes)]
	copy(l.all, l.base.Bytes)
	return true
}
