//go:build !linux

package guest

import "fmt"

// image is the base image of a module, which instances copy.
type image struct{ bytes []byte }

func newImage(b []byte) (*image, error) { return &image{b}, nil }
func (*image) close()                   {}

// linear is the memory of one instance.
type linear struct {
	base  *image
	all   []byte
	limit uint64
}

func newLinear(base *image, limit uint64) (*linear, error) {
	l := &linear{base: base, limit: limit}
	if base != nil {
		if uint64(len(base.bytes)) > limit {
			return nil, fmt.Errorf("a base image of %d bytes is above the limit of %d", len(base.bytes), limit)
		}
		l.all = append(l.all, base.bytes...)
	}
	return l, nil
}

// Reallocate returns the first size bytes of the memory; nil where there is no room.
func (l *linear) Reallocate(size uint64) []byte {
	if size > l.limit {
		return nil
	}
	if n := uint64(len(l.all)); size > n {
		l.all = append(l.all, make([]byte, size-n)...)
	}
	return l.all[:size]
}

// Free gives the memory back.
func (l *linear) Free() { l.all = nil }

// reset makes the memory equal to the base image again. It tells whether it could.
func (l *linear) reset() bool {
	if l.base == nil || len(l.all) != len(l.base.bytes) {
		return false
	}
	copy(l.all, l.base.bytes)
	return true
}
