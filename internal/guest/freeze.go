package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/flawless-engine/flawless"
)

// FrozenFormat is the format of a frozen guest. A change gets a new number, and [frozen.read] keeps reading earlier
// formats: once the log of a run is cut, its early turns are only in the image. Everything else that memory depends
// on (the rewriter, how the base image is made) changes the base image, which a guest that is frozen whole does not
// need.
const FrozenFormat = 3

// Freeze returns the guest as bytes, from which Thaw recreates it in this or another process: the pages that differ
// from the base image, the globals, and the state that the host keeps for the guest. The guest must be between two
// turns, and can continue afterwards. A guest that has no scheduler, has ended, or whose module has no base image is
// flawless.Refused. An engine that makes another base image of the module cannot thaw the guest.
//
//	format   1
//	module   32, SHA-256 of the module's bytes
//	base     32, SHA-256 of the base image; zeros if the guest is frozen whole
//	sum      32, SHA-256 of the rest
//	rest     zstd of what frozen.write writes. Pages within the base image are XORed with it
func (i *Instance) Freeze() ([]byte, error) { return i.freeze(false) }

// FreezeWhole is [Instance.Freeze] with all pages, so that every later engine can thaw the guest. It is for guests
// that cannot be replayed.
func (i *Instance) FreezeWhole() ([]byte, error) { return i.freeze(true) }

func (i *Instance) freeze(whole bool) ([]byte, error) {
	switch {
	case i.released || i.spoiled || i.turns == 0:
		return nil, fmt.Errorf("freezing a guest that is not between two turns: %w", flawless.Refused)
	case i.resume == nil:
		return nil, fmt.Errorf("freezing a guest without a scheduler, which waits in the middle of its function: %w", flawless.Refused)
	case i.m.base == nil:
		return nil, fmt.Errorf("freezing a guest of a module without a base image: %w", flawless.Refused)
	}
	random, err := i.random.MarshalBinary()
	if err != nil {
		panic("guest: encoding the random generator: " + err.Error())
	}
	w := frozen{b: make([]byte, 0, 256<<10)}
	w.whole = whole
	w.write(i, random)
	out := append(make([]byte, 0, len(w.b)/8+128), FrozenFormat)
	out = append(out, i.m.sum[:]...)
	if whole {
		out = append(out, noBase[:]...)
	} else {
		out = append(out, i.m.base.Sum[:]...)
	}
	packed := i.m.rt.packer.EncodeAll(w.b, nil)
	sum := sha256.Sum256(packed)
	return append(append(out, sum[:]...), packed...), nil
}

// noBase replaces the sum of the base image in a guest that is frozen whole.
var noBase [sha256.Size]byte

// Thaw recreates a guest from what Freeze returned, bit for bit, before its next turn. s is the start of the same
// run. The error is flawless.Damaged if the guest belongs to another module or base image, was frozen by a newer
// version of the engine, or its bytes were changed, and flawless.Refused if its memory is above the limit of the runtime.
// Then it has to be replayed.
func (m *Module) Thaw(ctx context.Context, s Start, b []byte) (*Instance, error) {
	const head = 1 + 3*sha256.Size
	damaged := func(why string) (*Instance, error) {
		return nil, fmt.Errorf("thawing the guest of run %s: %s: %w", s.Run, why, flawless.Damaged)
	}
	if len(b) < head {
		return damaged(fmt.Sprintf("it is truncated to %d bytes", len(b)))
	}
	part := func(n int) []byte { return b[1+n*sha256.Size:][:sha256.Size] }
	sum := sha256.Sum256(b[head:])
	whole := b[0] >= 3 && bytes.Equal(part(1), noBase[:])
	switch {
	case b[0] > FrozenFormat:
		return damaged(fmt.Sprintf("a newer version of the engine has frozen it in format %d, and this one knows formats up to %d", b[0], FrozenFormat))
	case b[0] == 0:
		return damaged("it has no format")
	case !bytes.Equal(part(0), m.sum[:]):
		return damaged("it belongs to another module")
	case !whole && (m.base == nil || !bytes.Equal(part(1), m.base.Sum[:])):
		return damaged("it has another base image")
	case !bytes.Equal(part(2), sum[:]):
		return damaged("its checksum is wrong")
	}
	plain, err := m.rt.unpacker.DecodeAll(b[head:], nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return nil, m.rt.tooLarge(s.Run, 0)
	}
	if err != nil {
		return damaged(err.Error())
	}
	i, err := m.acquire(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("thawing the guest of run %s: %w", s.Run, err)
	}
	i.prepare(s)
	i.open = s.Steps
	r := frozen{b: plain, format: b[0], whole: whole}
	if r.read(i); r.err != nil {
		i.Release()
		if r.memory > uint64(m.rt.options.MemoryPages)<<16 {
			return nil, m.rt.tooLarge(s.Run, r.memory)
		}
		return damaged(r.err.Error())
	}
	return i, nil
}

// tooLarge returns the error for a frozen guest with more memory than the limit, which is not damaged: a server with a
// higher limit can use it. size is in bytes, or 0 if it is unknown.
func (r *Runtime) tooLarge(run string, size uint64) error {
	needs := "more memory"
	if size > 0 {
		needs = fmt.Sprintf("%d pages of memory", size>>16)
	}
	return fmt.Errorf("thawing the guest of run %s: it has %s, and the limit is %d pages; raise it with --memory-pages: %w", run, needs, r.options.MemoryPages, flawless.Refused)
}

// frozen is a frozen guest while it is written or read.
type frozen struct {
	b      []byte
	format byte   // while it is read
	whole  bool   // pages are not XORed with a base image
	memory uint64 // bytes of memory, once it was read
	err    error
}

func (f *frozen) number(n uint64) { f.b = binary.AppendUvarint(f.b, n) }
func (f *frozen) bytes(b []byte)  { f.number(uint64(len(b))); f.b = append(f.b, b...) }

// write appends the guest: numbers are varints, and bytes follow their length.
func (f *frozen) write(i *Instance, random []byte) {
	for _, n := range []int64{i.now, int64(i.made), int64(i.order), int64(i.turns), int64(i.timerless)} {
		f.number(uint64(n))
	}
	f.bytes(random)
	f.number(uint64(len(i.globals)))
	for _, g := range i.globals {
		f.number(g.Get())
	}
	calls := slices.DeleteFunc(slices.Sorted(maps.Keys(i.visible)), func(n int) bool { return n == 0 })
	f.number(uint64(len(calls)))
	for _, n := range calls {
		a := i.visible[n]
		f.number(uint64(n))
		f.number(uint64(a.order))
		f.bytes(a.Head)
		f.bytes(a.Body)
	}
	f.number(uint64(len(i.unwanted)))
	for _, n := range slices.Sorted(maps.Keys(i.unwanted)) {
		f.number(uint64(n))
	}
	f.number(uint64(len(i.memory.Bytes())))
	pages := i.changes
	if f.whole {
		pages = i.pages
	}
	pages(func(at int, b, base []byte) {
		f.number(uint64(at/imagePage) + 1)
		from := len(f.b)
		f.b = append(f.b, b...)
		if base != nil {
			subtle.XORBytes(f.b[from:], b, base)
		}
	})
	f.number(0)
}

func (f *frozen) take() uint64 {
	n, size := binary.Uvarint(f.b)
	if size <= 0 {
		f.fail()
		return 0
	}
	f.b = f.b[size:]
	return n
}

func (f *frozen) taken() []byte { return f.cut(f.take()) }

func (f *frozen) cut(n uint64) []byte {
	if n > uint64(len(f.b)) {
		f.fail()
		return nil
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *frozen) fail() {
	if f.err == nil {
		f.err = errors.New("it is truncated or malformed")
	}
	f.b = nil
}

// read restores the guest into an instance that equals the base image.
func (f *frozen) read(i *Instance) {
	i.now, i.made, i.order, i.turns = int64(f.take()), int(f.take()), int(f.take()), int(f.take())
	i.timerless = mayHaveTimers // format 1 does not say
	if f.format > 1 {
		i.timerless = int(f.take())
	}
	if i.timerless < mayHaveTimers || i.timerless > timerlessYet {
		f.fail()
	}
	i.random = new(rand.ChaCha8)
	if err := i.random.UnmarshalBinary(f.taken()); err != nil {
		f.fail()
	}
	if f.take() != uint64(len(i.globals)) {
		f.fail()
		return
	}
	for _, g := range i.globals {
		g.Set(f.take())
	}
	for range f.take() {
		n, order := int(f.take()), int(f.take())
		a := flawless.Answer{Call: n, Head: bytes.Clone(f.taken()), Body: bytes.Clone(f.taken())}
		if f.err != nil {
			return
		}
		i.visible[n] = visible{a, order}
	}
	for range f.take() {
		if f.err != nil {
			return
		}
		i.ignore(int(f.take()))
	}
	f.readMemory(i)
}

func (f *frozen) readMemory(i *Instance) {
	size := f.take()
	f.memory = size
	if have := uint64(i.mod.Memory().Size()); size > have {
		if _, grown := i.mod.Memory().Grow(uint32((size - have) >> 16)); !grown {
			f.fail()
			return
		}
	}
	memory := i.memory.Bytes()
	if uint64(len(memory)) != size {
		f.fail()
		return
	}
	if f.whole {
		i.pages(func(_ int, b, _ []byte) { clear(b) })
	}
	for page := f.take(); page > 0; page = f.take() {
		at := (page - 1) * imagePage
		if at >= size {
			f.fail()
			return
		}
		b := f.cut(imagePage)
		if b == nil {
			return
		}
		to := memory[at:][:imagePage]
		subtle.XORBytes(to, to, b) // after the base image, memory is zero
	}
	if len(f.b) > 0 {
		f.fail()
	}
}

// imagePage is the size of the pages of frozen guests. It does not depend on the system's page size.
const imagePage = 4096

// changes calls yield for each page that differs from the base image, with the same page of the image, which is nil
// after its end.
func (i *Instance) changes(yield func(at int, b, base []byte)) {
	memory, base := i.memory.Bytes(), i.m.base.Bytes
	for _, s := range i.memory.Touched() {
		for at := int(s.From); at < int(s.To); at += imagePage {
			b := memory[at:][:imagePage]
			switch {
			case at >= len(base):
				if !zero(b) {
					yield(at, b, nil)
				}
			case !bytes.Equal(b, base[at:][:imagePage]):
				yield(at, b, base[at:][:imagePage])
			}
		}
	}
}

// pages calls yield for each page that is not zero.
func (i *Instance) pages(yield func(at int, b, base []byte)) {
	memory := i.memory.Bytes()
	for at := 0; at < len(memory); at += imagePage {
		if b := memory[at:][:imagePage]; !zero(b) {
			yield(at, b, nil)
		}
	}
}

func zero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
	}
	return true
}

// Weight returns how many bytes of memory the guest takes besides the base image.
func (i *Instance) Weight() int {
	n := 0
	if i.memory != nil && !i.released {
		for _, s := range i.memory.Touched() {
			n += int(s.To - s.From)
		}
	}
	return n
}
