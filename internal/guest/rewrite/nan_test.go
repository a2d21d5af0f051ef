package rewrite

import (
	"context"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
)

const canonicalNaN = 0x7ff8 << 48

// floating generates random code that computes with floats in locals, and with NaNs, whose bits it reads. It also
// computes the expected result, with canonical NaNs.
type floating struct {
	*rand.Rand
	code   []byte
	locals [4]uint64
	seen   uint64
}

// The locals are a counter, the bits seen so far, and the floats.
const (
	counterLocal = iota
	seenLocal
	firstFloat
)

func (d *floating) emit(code ...byte) { d.code = append(d.code, code...) }

func arithmetic(f func(x, y float64) float64) func(x, y uint64) uint64 {
	return func(x, y uint64) uint64 {
		v := f(math.Float64frombits(x), math.Float64frombits(y))
		if v != v {
			return canonicalNaN
		}
		return math.Float64bits(v)
	}
}

// expression emits code for a float, and returns a function that computes it.
func (d *floating) expression(depth int) func() uint64 {
	choice := d.IntN(12)
	if depth == 0 {
		choice %= 3
	}
	at := d.IntN(len(d.locals))
	switch choice {
	case 0, 1:
		d.emit(opLocalGet, byte(firstFloat+at))
		return func() uint64 { return d.locals[at] }
	case 2:
		v := []float64{0, 1, -1, 1.5, math.Inf(1), math.Inf(-1)}[d.IntN(6)]
		d.code = binary.LittleEndian.AppendUint64(append(d.code, opF64Const), math.Float64bits(v))
		return func() uint64 { return math.Float64bits(v) }
	case 3:
		x := d.expression(depth - 1)
		d.emit(opLocalTee, byte(firstFloat+at))
		return func() uint64 { d.locals[at] = x(); return d.locals[at] }
	case 4:
		x := d.expression(depth - 1)
		d.emit(0x9f)
		root := arithmetic(func(x, _ float64) float64 { return math.Sqrt(x) })
		return func() uint64 { return root(x(), 0) }
	case 5:
		x := d.expression(depth - 1)
		d.emit(0x9a) // f64.neg
		return func() uint64 { return x() ^ 1<<63 }
	}
	x, y := d.expression(depth-1), d.expression(depth-1)
	var f func(x, y uint64) uint64
	switch choice {
	case 6:
		d.emit(0xa6) // f64.copysign
		f = func(x, y uint64) uint64 { return x&^(1<<63) | y&(1<<63) }
	case 7, 8:
		d.emit(0xa0)
		f = arithmetic(func(x, y float64) float64 { return x + y })
	case 9:
		d.emit(0xa1)
		f = arithmetic(func(x, y float64) float64 { return x - y })
	case 10:
		d.emit(0xa2)
		f = arithmetic(func(x, y float64) float64 { return x * y })
	default:
		d.emit(0xa3)
		f = arithmetic(func(x, y float64) float64 { return x / y })
	}
	return func() uint64 { a := x(); return f(a, y()) }
}

func (d *floating) statement() func() {
	if d.IntN(3) > 0 {
		at := d.IntN(len(d.locals))
		x := d.expression(3)
		d.emit(opLocalSet, byte(firstFloat+at))
		return func() { d.locals[at] = x() }
	}
	d.emit(opLocalGet, seenLocal, opI64Const, 7, 0x89) // i64.rotl
	x := d.expression(2)
	d.emit(0xbd, 0x85, opLocalSet, seenLocal) // i64.reinterpret_f64, i64.xor
	return func() {
		seen := bits.RotateLeft64(d.seen, 7)
		d.seen = seen ^ x()
	}
}

// TestNaNsInLocalsAreCanonical checks that the bits of a NaN are canonical wherever they are read, even if they are
// not while it is in a local.
func TestNaNsInLocalsAreCanonical(t *testing.T) {
	t.Parallel()
	late, nans := 0, 0
	for seed := range uint64(300) {
		d := &floating{Rand: rand.New(rand.NewPCG(seed, 5))}
		d.emit(opLoop, blockEmpty)
		var all []func()
		for range 1 + d.IntN(6) {
			all = append(all, d.statement())
		}
		d.emit(opLocalGet, counterLocal, opI32Const, 1, opI32Add, opLocalTee, counterLocal, opI32Const, 3, opI32LtS, 0x0d, 0, opEnd)
		for k := range d.locals { // the final values
			d.emit(opLocalGet, seenLocal, opI64Const, 7, 0x89, opLocalGet, byte(firstFloat+k), 0xbd, 0x85, opLocalSet, seenLocal)
		}
		d.emit(opLocalGet, seenLocal)
		if seed%2 == 0 {
			d.emit(opReturn)
		}
		d.emit(opEnd)
		for range 3 {
			for _, f := range all {
				f()
			}
		}
		for _, v := range d.locals {
			if d.seen = bits.RotateLeft64(d.seen, 7) ^ v; v == canonicalNaN {
				nans++
			}
		}
		body := append([]byte{3, 1, typeI32, 1, typeI64, byte(len(d.locals)), typeF64}, d.code...)
		bin := mod(vec(sectionType, []byte{0x60, 0, 1, typeI64}), vec(sectionFunc, []byte{0}), memory, exports,
			vec(sectionCode, append(putU(nil, uint64(len(body))), body...)))
		for name, config := range engines() {
			h := start(t, bin, usual, config)
			got, err := h.ExportedFunction("f").Call(context.Background())
			if err != nil || got[0] != d.seen {
				t.Errorf("seed %d, %s: %x, %v, want %x", seed, name, got, err, d.seen)
			}
		}
		late += latelyCanonical(t, bin)
	}
	if late < 100 || nans < 100 {
		t.Errorf("only %d NaNs, and %d places where one is made canonical late", nans, late)
	}
}

// latelyCanonical counts the NaNs that are made canonical when they are read from a local.
func latelyCanonical(t *testing.T, bin []byte) int {
	t.Helper()
	m := &module{options: usual, read: reader{bytes: bin, end: len(bin)}}
	if err := m.decode(); err != nil {
		t.Fatal(err)
	}
	r := m.bodies
	r.count(2)
	f, err := newSurvey(m).look(r.part(r.count(1), "code section"), m.types[0])
	if err != nil {
		t.Fatal(err)
	}
	return len(f.late)
}
