package rewrite

import (
	"cmp"
	"slices"
	"sort"
)

const (
	pageBytes = 1 << 16
	bridge    = 4096    // shorter gaps between runs of data are filled with zeros
	freeZeros = 1 << 20 // zeros that may be added, besides 4 for each byte of data
)

// Segment is initial content of memory.
type Segment struct {
	Offset uint32
	Bytes  []byte
}

func (s Segment) end() uint64 { return uint64(s.Offset) + uint64(len(s.Bytes)) }

func (m *module) readData(r *reader) {
	var in []Segment
	m.list(sectionData, r, 2, func() {
		m.segments++
		switch flags := r.u32(); flags {
		case 0:
		case 1:
			r.refuse("it has passive data for memory.init; build without threads (a linker's --shared-memory)")
		case 2:
			if memory := r.u32(); memory != 0 {
				r.refuse("data goes into memory %d, only one memory is supported; build without the multi-memory proposal", memory)
			}
		default:
			r.damaged("data has the unknown flags 0x%x", flags)
		}
		offset := m.constant(r, typeI32, "the offset of data")
		b := r.take(r.count(1))
		if r.err != nil {
			return
		}
		if m.memories == 0 {
			r.damaged("there is data and no memory")
			return
		}
		number := reader{bytes: offset.bytes, pos: 1, end: len(offset.bytes)}
		s := Segment{Offset: uint32(number.s32()), Bytes: b}
		if s.end() > uint64(m.memory.min)*pageBytes {
			r.damaged("data at %d of %d bytes is outside of the memory of %d pages", s.Offset, len(b), m.memory.min)
			return
		}
		if len(b) > 0 {
			in = append(in, s)
		}
	})
	m.raw[sectionData] = nil
	if r.err == nil {
		m.data = merge(in)
	}
}

// merge returns the memory that results from writing the segments in order.
func merge(in []Segment) []Segment {
	out := runs(in)
	for _, s := range in {
		i := sort.Search(len(out), func(i int) bool { return out[i].Offset > s.Offset }) - 1
		copy(out[i].Bytes[s.Offset-out[i].Offset:], s.Bytes)
	}
	return out
}

// runs returns the ranges that the segments cover, with small gaps between them, zeroed.
func runs(in []Segment) []Segment {
	sorted := slices.Clone(in)
	slices.SortFunc(sorted, func(a, b Segment) int { return cmp.Compare(a.Offset, b.Offset) })
	type span struct{ from, to uint64 }
	var spans []span
	zeros, maxZeros := uint64(0), uint64(freeZeros)
	for _, s := range in {
		maxZeros += 4 * uint64(len(s.Bytes))
	}
	for _, s := range sorted {
		from, to := uint64(s.Offset), s.end()
		if n := len(spans); n > 0 {
			last := &spans[n-1]
			if gap := max(from, last.to) - last.to; gap == 0 || gap < bridge && zeros+gap <= maxZeros {
				zeros += gap
				last.to = max(last.to, to)
				continue
			}
		}
		spans = append(spans, span{from, to})
	}
	out := make([]Segment, len(spans))
	for i, s := range spans {
		out[i] = Segment{Offset: uint32(s.from), Bytes: make([]byte, s.to-s.from)}
	}
	return out
}
