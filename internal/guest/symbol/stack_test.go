package symbol

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
)

// program is a Go program's memory with a table of functions: hostCall of the SDK, a function of the main package into which another
// one was inlined, and the end of a stack. Its tables say: 16 bytes of frame, line 7, and line 3 for what was inlined.
func program() []byte {
	const names = "sdk/go/internal/abi.hostCall\x00main.run\x00main.run.func1\x00runtime.goexit\x00"
	offset := func(name string) uint32 { return uint32(bytes.Index([]byte(names), []byte(name+"\x00"))) }
	table := []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8}
	word := func(b []byte, n int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }
	half := func(b []byte, n uint32) []byte { return binary.LittleEndian.AppendUint32(b, n) }
	const head = 72
	units := head + len(names)
	files := units + 4
	values := files + len("/w/shop/main.go\x00")
	pairs := []byte{0, // no table begins at 0
		34, 100, 0, // 1: 16 for 100 addresses
		2, 100, 0, // 4: 0, a file
		16, 10, 7, 10, 0, // 7: line 7, and from address 10 on line 3
		0, 10, 2, 10, 0, // 12: nothing is inlined, and from address 10 on row 0
	}
	fns := values + len(pairs)
	for _, n := range []int{3, 1, 0, head, units, files, values, fns} {
		table = word(table, n)
	}
	table = append(table, names...)
	table = half(table, 0)
	table = append(append(table, "/w/shop/main.go\x00"...), pairs...)
	all := []string{"sdk/go/internal/abi.hostCall", "main.run", "runtime.goexit"}
	const entry = 80
	entries := 8 * (len(all) + 1)
	for k := range all {
		table = half(half(table, uint32(firstFunc+k)), uint32(entries+entry*k))
	}
	table = half(half(table, uint32(firstFunc+len(all))), 0)
	for k, name := range all {
		f := make([]byte, entry)
		copy(f, half(half(nil, uint32(firstFunc+k)), offset(name)))
		copy(f[16:], half(half(half(half(half(nil, 1), 4), 7), 3), 0)) // sizes, files, lines; 3 kinds of values; unit
		f[43] = 4                                                      // kinds of data
		copy(f[44:], half(half(half(nil, 0), 0), 12))                  // which row of inlined functions
		copy(f[56:], bytes.Repeat([]byte{0xff}, 16))                   // no data
		if name == "main.run" {
			copy(f[68:], []byte{0, 0, 0, 0}) // but the rows of inlined functions
		}
		table = append(table, f...)
	}
	image := make([]byte, 64)
	at := len(image)
	tree := at + len(table)
	image = append(image, table...)
	image = append(image, half(half(half(half(nil, 0), offset("main.run.func1")), 5), 0)...)
	for len(image)%8 != 0 {
		image = append(image, 0)
	}
	self := make([]byte, 8*41)
	set := func(k, n int) { binary.LittleEndian.PutUint64(self[8*k:], uint64(n)) }
	set(0, at)
	set(1, at+head)
	set(16, at+fns)
	set(40, tree)
	return append(image, self...)
}

// TestHostileTablesAreBounded damages the table of a program and its stack at random: nothing panics, and what is remembered is bounded.
func TestHostileTablesAreBounded(t *testing.T) {
	t.Parallel()
	whole := program()
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		image := bytes.Clone(whole)
		for range random.IntN(8) {
			image[random.IntN(len(image))] = byte(random.Uint32())
		}
		s := NewStacks(image)
		if s == nil {
			continue
		}
		memory := make([]byte, 512)
		for k := 0; k < len(memory); k += 8 {
			binary.LittleEndian.PutUint64(memory[k:], uint64(firstFunc+random.IntN(4))<<16|uint64(random.IntN(100)))
		}
		s.Via(memory, uint64(random.IntN(600)), uint64(random.IntN(600)), nil)
		s.Calling(memory, uint64(random.IntN(600)), uint64(random.IntN(600)))
	}
	s := NewStacks(whole)
	if s == nil {
		t.Fatal("the program is not recognised")
	}
	for pc := range uint64(3 * maxPlaces) {
		s.at((firstFunc+1)<<16 + pc)
	}
	if n := len(*s.known.Load()); n > maxPlaces {
		t.Errorf("%d places are remembered", n)
	}
}

// TestStacksAreUnwound reads a stack of two frames, in the second of which a closure was inlined.
func TestStacksAreUnwound(t *testing.T) {
	t.Parallel()
	s := NewStacks(program())
	frame := func(function string, line int) flawless.StackFrame {
		return flawless.StackFrame{Func: function, Site: flawless.Site{File: "shop/main.go", Line: line}}
	}
	for pc, row := range map[uint64]struct {
		stack []flawless.StackFrame
		via   string
	}{
		5:  {[]flawless.StackFrame{frame("main.run", 7)}, "shop/main.go:7"},
		15: {[]flawless.StackFrame{frame("main.run.func1", 3), frame("main.run", 7)}, "shop/main.go:3"},
	} {
		memory := make([]byte, 128)
		put := func(at int, fn, pc uint64) {
			binary.LittleEndian.PutUint64(memory[at:], (firstFunc+fn)<<16|pc)
		}
		put(16, 1, pc)     // hostCall has a frame of 16 bytes, and returns to run
		put(16+8+16, 2, 1) // which returns to the end
		if d := cmp.Diff(row.stack, s.Calling(memory, 0, 128)); d != "" {
			t.Error(d)
		}
		for head, want := range map[string]string{`{}`: row.via, `{"at":"` + row.via + `"}`: "", `{"at":"` + row.via + `1"}`: row.via} {
			if via := s.Via(memory, 0, 128, []byte(head)); via != want {
				t.Errorf("with the head %s it is via %q, want %q", head, via, want)
			}
		}
		if via := s.Via(memory, 0, 30, nil); via != "" {
			t.Errorf("a stack without its end is via %q", via)
		}
	}
}
