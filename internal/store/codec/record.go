package codec

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
)

// Record is the stored form of a [flawless.Record], whose number is in the key.
type Record struct {
	Epoch   uint64           `cbor:"1,keyasint"`
	Entries []flawless.Entry `cbor:"2,keyasint"`
	Cut     *flawless.Cut    `cbor:"3,keyasint,omitempty"`
}

// CheckEntries returns [flawless.TooLarge] for entries that exceed the limits of the decoder: they could be
// written, but never read.
func CheckEntries(entries []flawless.Entry) error {
	largest, labels := len(entries), 0
	for i := range entries {
		if t := entries[i].Turn; t != nil {
			largest = max(largest, len(t.Answers), len(t.Calls), len(t.Lines), len(t.Steps))
			labels = max(labels, len(t.Labels))
		}
	}
	if largest > maxItems {
		return fmt.Errorf("a turn has %d calls, answers or lines, but at most %d can be stored: %w", largest, maxItems, flawless.TooLarge)
	}
	if labels > maxPairs {
		return fmt.Errorf("a turn changes %d labels, but at most %d changes can be stored: %w", labels, maxPairs, flawless.TooLarge)
	}
	return nil
}

// A record is written with every turn and read with every replay, so the common ones (start, turns and
// arrivals without rare fields) have an encoder and a decoder without reflection. They use the same bytes
// as the CBOR library, which handles everything else.

// The major types of CBOR (RFC 8949, section 3).
const (
	cborUint  = 0 << 5
	cborInt   = 1 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
	cborTrue  = 0xf5
)

// pen appends CBOR to a slice.
type pen []byte

func (p *pen) head(major byte, n uint64) {
	switch {
	case n < 24:
		*p = append(*p, major|byte(n))
	case n < 1<<8:
		*p = append(*p, major|24, byte(n))
	case n < 1<<16:
		*p = binary.BigEndian.AppendUint16(append(*p, major|25), uint16(n))
	case n < 1<<32:
		*p = binary.BigEndian.AppendUint32(append(*p, major|26), uint32(n))
	default:
		*p = binary.BigEndian.AppendUint64(append(*p, major|27), n)
	}
}

func (p *pen) int(n int64) {
	if n < 0 {
		p.head(cborInt, uint64(^n))
		return
	}
	p.head(cborUint, uint64(n))
}

func (p *pen) text(s string) {
	p.head(cborText, uint64(len(s)))
	*p = append(*p, s...)
}

func (p *pen) bytes(b []byte) {
	p.head(cborBytes, uint64(len(b)))
	*p = append(*p, b...)
}

// members of a map: their number comes first, so it is put in when all are there. There are less
// than 24.
type members struct{ at, n int }

func (p *pen) open() members {
	*p = append(*p, 0)
	return members{at: len(*p) - 1}
}

func (p *pen) close(m members) { (*p)[m.at] = cborMap | byte(m.n) }

func (p *pen) key(m *members, key uint64) {
	m.n++
	p.head(cborUint, key)
}

func (p *pen) optionalText(m *members, key uint64, s string) {
	if s != "" {
		p.key(m, key)
		p.text(s)
	}
}

func (p *pen) optionalBytes(m *members, key uint64, b []byte) {
	if len(b) > 0 {
		p.key(m, key)
		p.bytes(b)
	}
}

func (p *pen) optionalInt(m *members, key uint64, n int64) {
	if n != 0 {
		p.key(m, key)
		p.int(n)
	}
}

// usual reports whether appendRecord can write entries. A field that is added to the types of the log must
// be written by appendRecord or listed here; TestEveryFieldOfARecordSurvives goes through all fields.
func usual(entries []flawless.Entry) bool {
	return entries != nil && !slices.ContainsFunc(entries, func(e flawless.Entry) bool {
		if t := e.Turn; t != nil && (len(t.Labels) > 0 || t.As != nil || len(t.Steps) > 0 || t.Ended != nil && t.Ended.Failure != nil) {
			return true
		}
		if s := e.Start; s != nil && (s.Parent != "" || s.Call != 0 || s.Of != "" || s.Deadline != 0 || s.Grace != 0 ||
			s.Origin != nil || len(s.Labels) > 0 || s.Queue != nil || s.Schedule != "" || s.Version != "" || s.Lost || s.Seed == nil) {
			return true
		}
		if a := e.Arrival; a != nil && a.Reached != 0 {
			return true
		}
		return e.Request != "" || e.Attempt != nil || e.Unknown != nil || e.Decision != nil || e.Cancel != nil || e.End != nil ||
			e.Message != nil || e.Pause != nil || e.Upgrade != nil || e.Adopted != nil
	})
}

// appendRecord appends a record with usual entries.
func appendRecord(b []byte, r *Record) []byte {
	p := pen(b)
	p.head(cborMap, 2)
	p.head(cborUint, 1)
	p.head(cborUint, r.Epoch)
	p.head(cborUint, 2)
	p.head(cborArray, uint64(len(r.Entries)))
	for i := range r.Entries {
		p.entry(&r.Entries[i])
	}
	return p
}

func (p *pen) entry(e *flawless.Entry) {
	m := p.open()
	p.key(&m, 1)
	p.int(e.At)
	if e.Start != nil {
		p.key(&m, 2)
		p.start(e.Start)
	}
	if e.Turn != nil {
		p.key(&m, 3)
		p.turn(e.Turn)
	}
	if e.Arrival != nil {
		p.key(&m, 4)
		p.arrival(e.Arrival)
	}
	p.close(m)
}

func (p *pen) start(s *flawless.Start) {
	m := p.open()
	p.key(&m, 1)
	p.text(s.Module)
	p.key(&m, 2)
	p.text(s.Digest)
	p.key(&m, 3)
	p.text(s.Workflow)
	p.optionalBytes(&m, 4, s.Input)
	p.key(&m, 5)
	p.bytes(s.Seed)
	p.key(&m, 6)
	p.int(s.Time)
	if s.Keyed {
		p.key(&m, 7)
		*p = append(*p, cborTrue)
	}
	p.optionalText(&m, 22, s.URL)
	p.close(m)
}

func (p *pen) turn(t *flawless.Turn) {
	m := p.open()
	p.key(&m, 1)
	p.int(int64(t.N))
	p.key(&m, 2)
	p.int(t.Time)
	if len(t.Answers) > 0 {
		p.key(&m, 3)
		p.head(cborArray, uint64(len(t.Answers)))
		for _, n := range t.Answers {
			p.int(int64(n))
		}
	}
	if len(t.Calls) > 0 {
		p.key(&m, 4)
		p.head(cborArray, uint64(len(t.Calls)))
		for i := range t.Calls {
			c, of := &t.Calls[i], p.open()
			p.key(&of, 1)
			p.int(int64(c.N))
			p.key(&of, 2)
			p.text(c.Kind)
			p.optionalBytes(&of, 3, c.Head)
			p.optionalBytes(&of, 4, c.Body)
			p.optionalText(&of, 5, c.Via)
			p.close(of)
		}
	}
	if len(t.Lines) > 0 {
		p.key(&m, 5)
		p.head(cborArray, uint64(len(t.Lines)))
		for i := range t.Lines {
			l, of := &t.Lines[i], p.open()
			p.key(&of, 1)
			p.text(l.Level)
			p.key(&of, 2)
			p.text(l.Text)
			p.optionalBytes(&of, 3, l.Fields)
			p.optionalText(&of, 4, l.Site)
			p.close(of)
		}
	}
	p.optionalBytes(&m, 6, t.Data)
	p.optionalInt(&m, 7, t.Wake)
	if t.Ended != nil {
		p.key(&m, 9)
		of := p.open()
		p.optionalBytes(&of, 1, t.Ended.Output)
		p.close(of)
	}
	if t.Cost != 0 {
		p.key(&m, 10)
		p.head(cborUint, t.Cost)
	}
	p.close(m)
}

func (p *pen) arrival(a *flawless.Arrival) {
	m := p.open()
	p.key(&m, 1)
	p.int(int64(a.Call))
	p.optionalBytes(&m, 2, a.Head)
	p.optionalBytes(&m, 3, a.Body)
	if len(a.Stages) > 0 {
		p.key(&m, 4)
		p.head(cborArray, uint64(len(a.Stages)))
		for _, s := range a.Stages {
			p.head(cborMap, 2)
			p.head(cborUint, 1)
			p.text(s.Name)
			p.head(cborUint, 2)
			p.int(s.At)
		}
	}
	p.optionalText(&m, 5, a.Note)
	p.optionalInt(&m, 6, int64(a.Message))
	p.close(m)
}

// lens reads the CBOR that a pen writes. If it meets anything else, it sets odd, and its results are
// meaningless. The bytes that it returns are slices of its input.
type lens struct {
	b   []byte
	odd bool
}

// head reads the head of an item of a major type and returns its argument.
func (l *lens) head(major byte) uint64 {
	if len(l.b) == 0 || l.b[0]&0xe0 != major {
		l.odd = true
		return 0
	}
	short := l.b[0] & 0x1f
	if l.b = l.b[1:]; short < 24 {
		return uint64(short)
	}
	size := 1 << (short - 24)
	if short > 27 || len(l.b) < size {
		l.odd = true
		return 0
	}
	var n uint64
	for _, c := range l.b[:size] {
		n = n<<8 | uint64(c)
	}
	l.b = l.b[size:]
	l.odd = l.odd || size == 1 && n < 24 || size > 1 && n>>(4*size) == 0 // not the shortest form
	return n
}

func (l *lens) int() int64 {
	if len(l.b) > 0 && l.b[0]&0xe0 == cborInt {
		n := l.head(cborInt)
		l.odd = l.odd || n > 1<<63-1
		return ^int64(n)
	}
	n := l.head(cborUint)
	l.odd = l.odd || n > 1<<63-1
	return int64(n)
}

// string reads a byte string or text.
func (l *lens) string(major byte) []byte {
	n := l.head(major)
	if l.odd || n > uint64(len(l.b)) {
		l.odd = true
		return nil
	}
	s := l.b[:n:n]
	l.b = l.b[n:]
	return s
}

func (l *lens) bytes() []byte {
	s := l.string(cborBytes)
	l.odd = l.odd || len(s) == 0 // the library distinguishes nil and empty
	return s
}

func (l *lens) text() string { return string(l.string(cborText)) }

// kind reads text that has few different values, and avoids an allocation for them.
func (l *lens) kind() string {
	switch s := l.string(cborText); string(s) {
	case "http":
		return "http"
	case "connected":
		return "connected"
	case "sent":
		return "sent"
	case "answered":
		return "answered"
	case "info":
		return "info"
	default:
		return string(s)
	}
}

// count reads the head of an array whose elements have at least one byte each.
func (l *lens) count() int {
	n := l.head(cborArray)
	if l.odd = l.odd || n == 0 || n > uint64(len(l.b)) || n > maxItems; l.odd {
		return 0
	}
	return int(n)
}

// list reads an array that is not empty.
func list[T any](l *lens, element func(*T)) []T {
	out := make([]T, l.count())
	for i := range out {
		if element(&out[i]); l.odd {
			return nil
		}
	}
	return out
}

// fields reads a map with ascending numeric keys, and calls member to read each value.
func (l *lens) fields(member func(key uint64)) {
	n, last := l.head(cborMap), uint64(0)
	for ; n > 0 && !l.odd; n-- {
		key := l.head(cborUint)
		if l.odd = l.odd || key <= last; !l.odd {
			last = key
			member(key)
		}
	}
}

// parseRecord decodes a record with usual entries, which shares memory with b. It returns false for any other.
func parseRecord(b []byte) (r Record, ok bool) {
	l := lens{b: b}
	all := uint64(0)
	l.fields(func(key uint64) {
		all |= 1 << key
		switch key {
		case 1:
			r.Epoch = l.head(cborUint)
		case 2:
			r.Entries = list(&l, l.entry)
		default:
			l.odd = true
		}
	})
	return r, !l.odd && len(l.b) == 0 && all == 1<<1|1<<2
}

func (l *lens) entry(e *flawless.Entry) {
	l.fields(func(key uint64) {
		switch key {
		case 1:
			e.At = l.int()
		case 2:
			e.Start = &flawless.Start{}
			l.start(e.Start)
		case 3:
			e.Turn = &flawless.Turn{}
			l.turn(e.Turn)
		case 4:
			e.Arrival = &flawless.Arrival{}
			l.arrival(e.Arrival)
		default:
			l.odd = true
		}
	})
}

func (l *lens) start(s *flawless.Start) {
	l.fields(func(key uint64) {
		switch key {
		case 1:
			s.Module = l.text()
		case 2:
			s.Digest = l.text()
		case 3:
			s.Workflow = l.text()
		case 4:
			s.Input = l.bytes()
		case 5:
			s.Seed = l.bytes()
		case 6:
			s.Time = l.int()
		case 22:
			s.URL = l.text()
		default:
			l.odd = true
		}
	})
}

func (l *lens) turn(t *flawless.Turn) {
	l.fields(func(key uint64) {
		switch key {
		case 1:
			t.N = int(l.int())
		case 2:
			t.Time = l.int()
		case 3:
			t.Answers = list(l, func(n *int) { *n = int(l.int()) })
		case 4:
			t.Calls = list(l, l.call)
		case 5:
			t.Lines = list(l, l.line)
		case 6:
			t.Data = l.bytes()
		case 7:
			t.Wake = l.int()
		case 9:
			t.Ended = &flawless.Ended{}
			l.fields(func(key uint64) {
				l.odd = l.odd || key != 1
				t.Ended.Output = l.bytes()
			})
		case 10:
			t.Cost = l.head(cborUint)
		default:
			l.odd = true
		}
	})
}

func (l *lens) call(c *flawless.Call) {
	l.fields(func(key uint64) {
		switch key {
		case 1:
			c.N = int(l.int())
		case 2:
			c.Kind = l.kind()
		case 3:
			c.Head = l.bytes()
		case 4:
			c.Body = l.bytes()
		case 5:
			c.Via = l.text()
		default:
			l.odd = true
		}
	})
}

func (l *lens) line(line *flawless.Line) {
	l.fields(func(key uint64) {
		switch key {
		case 1:
			line.Level = l.kind()
		case 2:
			line.Text = l.text()
		case 3:
			line.Fields = l.bytes()
		case 4:
			line.Site = l.text()
		default:
			l.odd = true
		}
	})
}

func (l *lens) arrival(a *flawless.Arrival) {
	l.fields(func(key uint64) {
		switch key {
		case 1:
			a.Call = int(l.int())
		case 2:
			a.Head = l.bytes()
		case 3:
			a.Body = l.bytes()
		case 4:
			a.Stages = list(l, l.stage)
		case 5:
			a.Note = l.text()
		case 6:
			a.Message = int(l.int())
		default:
			l.odd = true
		}
	})
}

func (l *lens) stage(s *flawless.Stage) {
	l.fields(func(key uint64) {
		switch key {
		case 1:
			s.Name = l.kind()
		case 2:
			s.At = l.int()
		default:
			l.odd = true
		}
	})
}
