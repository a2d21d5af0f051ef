package guest

import (
	"fmt"
	"os"

	"github.com/tetratelabs/wazero/experimental"
)

// linear is the linear memory of one instance. Reallocate gives nil above its limit, which the
// guest sees as a grow that fails; where the system has no memory it panics with interrupted.
type linear interface {
	experimental.LinearMemory

	// bytes are those in use.
	bytes() []byte

	// touched are the pieces that may differ from the base image, or from zero behind it.
	touched() []span

	// reset makes the memory equal to the base image again. It tells whether it could. Where the
	// memory had grown, the next Reallocate gives that of the base image whatever its argument.
	reset() bool
}

// image is the base image of a module. It is kept in one of two ways.
type image struct {
	size    int
	sum     [32]byte // SHA-256
	bytes   []byte   // that instances copy
	file    *os.File // without a name, that instances map copy-on-write
	pagemap *os.File // tells which pages of an instance are its own; may be nil
}

// span is a piece of memory.
type span struct{ from, to uint64 }

func (m *image) close() {
	for _, f := range []*os.File{m.file, m.pagemap} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// copied is memory that begins as a copy of the base image. It works on every system.
type copied struct {
	base   *image
	all    []byte
	limit  uint64
	shrunk bool
}

func newCopied(base *image, limit uint64) (linear, error) {
	l := &copied{base: base, limit: limit}
	if base != nil {
		if uint64(base.size) > limit {
			return nil, fmt.Errorf("a base image of %d bytes is above the limit of %d", base.size, limit)
		}
		l.all = append(l.all, base.bytes...)
	}
	return l, nil
}

func (l *copied) bytes() []byte { return l.all }

func (l *copied) Reallocate(size uint64) []byte {
	if l.shrunk {
		l.shrunk = false
		return l.all
	}
	if size > l.limit {
		return nil
	}
	if n := uint64(len(l.all)); size > n {
		l.all = append(l.all, make([]byte, size-n)...)
	}
	return l.all[:size:size]
}

func (l *copied) Free() { l.all = nil }

func (l *copied) touched() []span { return []span{{0, uint64(len(l.all))}} }

func (l *copied) reset() bool {
	if l.base == nil || len(l.all) < l.base.size {
		return false
	}
	l.shrunk = len(l.all) > l.base.size
	l.all = l.all[:l.base.size:l.base.size]
	copy(l.all, l.base.bytes)
	return true
}
