package symbol

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
)

// debugged returns a module of two functions with DWARF 4. The first begins at line 7 of src/a.rs; a function is
// inlined into the second at line 20. The sequence of a removed function begins at 0.
func debugged() []byte {
	const first, second = 2, 5 // in the code section: 2 functions; 2 bytes: no locals, end; as much
	var rows []byte
	for _, s := range []struct{ at, line byte }{{first, 7}, {second + 1, 99}, {0, 50}} {
		rows = append(rows, 0, 5, 2, s.at, 0, 0, 0) // set address
		rows = append(rows, 3, s.line-1)            // advance line, from 1
		rows = append(rows, 1)                      // copy
		rows = append(rows, 2, 1, 0, 1, 1)          // advance address, end of sequence
	}
	head := []byte{1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1}
	head = append(head, "src\x00\x00a.rs\x00\x01\x00\x00\x00"...)
	line := binary.LittleEndian.AppendUint16(nil, 4)
	line = binary.LittleEndian.AppendUint32(line, uint32(len(head)))
	line = append(append(line, head...), rows...)
	abbrev := []byte{
		1, 0x11, 1, 0x10, 0x17, 0, 0, // unit: line table
		2, 0x2e, 1, 0x11, 0x01, 0, 0, // function: address
		3, 0x1d, 0, 0x58, 0x0b, 0x59, 0x0b, 0x11, 0x01, 0x12, 0x0b, 0, 0, // inlined: file and line of the call, address, size
		0,
	}
	info := binary.LittleEndian.AppendUint16(nil, 4)
	info = append(info, 0, 0, 0, 0, 4)
	info = append(info, 1, 0, 0, 0, 0)
	for _, at := range []byte{first, second} {
		info = append(info, 2, at, 0, 0, 0)
		info = append(info, 3, 1, 24, at, 0, 0, 0, 1)
		info = append(info, 3, 1, 20, at, 0, 0, 0, 0, 0)
	}
	info = append(info, 0)
	sized := func(b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }
	return module(map[string][]byte{"abbrev": abbrev, "info": sized(info), "line": sized(line)})
}

// module returns a module of two functions that do nothing, with these sections of DWARF.
func module(dwarf map[string][]byte) []byte {
	bin := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, content []byte) {
		bin = append(binary.AppendUvarint(append(bin, id), uint64(len(content))), content...)
	}
	section(10, []byte{2, 2, 0, 0x0b, 2, 0, 0x0b})
	for name, content := range dwarf {
		name = ".debug_" + name
		section(0, append(append([]byte{byte(len(name))}, name...), content...))
	}
	return bin
}

func TestLinesComeFromDWARF(t *testing.T) {
	t.Parallel()
	want := map[int]flawless.Site{0: {File: "src/a.rs", Line: 7}, 1: {File: "src/a.rs", Line: 20}}
	s := readDWARF(debugged())
	if d := cmp.Diff(want, s.heads); d != "" {
		t.Error(d)
	}
	inner, site, own := s.frames(0, 2)
	if want := (flawless.StackFrame{Func: "inlined", Site: flawless.Site{File: "src/a.rs", Line: 7}}); len(inner) != 1 || inner[0].StackFrame != want || site.Line != 24 || !own {
		t.Errorf("at 2 are %+v, in line %d", inner, site.Line)
	}
	if inner, site, _ := s.frames(0, 3); len(inner) != 0 || site.Line != 7 {
		t.Errorf("at 3 are %+v, in line %d", inner, site.Line)
	}
	for address, row := range map[uint64]struct {
		index int
		site  flawless.Site
	}{0: {-1, flawless.Site{}}, 2: {0, flawless.Site{File: "src/a.rs", Line: 7}}, 4: {0, flawless.Site{File: "src/a.rs", Line: 7}}, 6: {1, flawless.Site{}}} {
		if index, site := s.at(address); index != row.index || site != row.site {
			t.Errorf("at %d is function %d, %v; want %+v", address, index, site, row)
		}
	}
}

// TestDamagedDWARFIsIgnored damages every byte, truncates everywhere, and damages at random.
func TestDamagedDWARFIsIgnored(t *testing.T) {
	t.Parallel()
	whole := debugged()
	for n := range whole {
		readDWARF(whole[:n])
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[n] ^= 1 << bit
			readDWARF(b)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := bytes.Clone(whole)
		for range 1 + random.IntN(8) {
			b[8+random.IntN(len(b)-8)] = byte(random.Uint32())
		}
		readDWARF(b)
	}
	if got := readDWARF(module(map[string][]byte{"abbrev": {1}, "info": {1, 2, 3}, "line": {4}})); len(got.heads)+len(got.rows) != 0 {
		t.Errorf("random bytes give %v", got)
	}
}

// TestOversizedDWARFCountsAreRejected has line tables of version 5 that announce a billion files.
func TestOversizedDWARFCountsAreRejected(t *testing.T) {
	t.Parallel()
	table := func(folders, files []byte) []byte {
		b := []byte{0, 1, 0, 0, 5, 0, 4, 0, 200, 0, 0, 0, 1, 1, 1, 0xfb, 14, 1}
		b = append(b, 1, 1, 0x08) // directories: one form, path as a string
		b = append(b, folders...)
		b = append(b, 1, 1, 0x08)
		b = append(b, files...)
		return append(b, make([]byte, 256)...)
	}
	many := binary.AppendUvarint(nil, 1<<30)
	for name, row := range map[string]struct {
		table []byte
		fits  bool
	}{
		"one of each":              {table([]byte("\x01/\x00"), []byte("\x01a.rs\x00")), true},
		"many folders":             {table(many, []byte("\x01a.rs\x00")), false},
		"many files":               {table([]byte("\x01/\x00"), many), false},
		"a number that never ends": {table([]byte("\x01/\x00"), bytes.Repeat([]byte{0xff}, 20)), false},
		"an unknown form":          {bytes.Replace(table([]byte("\x01/\x00"), []byte("\x01a.rs\x00")), []byte{1, 1, 8}, []byte{1, 1, 0x7e}, 1), false},
		"a truncated table":        {table([]byte("\x01/\x00"), nil)[:22], false},
	} {
		if got := countsFit(row.table, 0); got != row.fits {
			t.Errorf("%s: %v", name, got)
		}
	}
	if countsFit(nil, 0) || countsFit(make([]byte, 40), 30) || countsFit(make([]byte, 40), -1) {
		t.Error("a missing table is accepted")
	}
}

func TestNamesAreDemangled(t *testing.T) {
	t.Parallel()
	for mangled, want := range map[string]string{
		"_ZN10hello_rust5greet17h99e762c02616480dE":                                    "hello_rust::greet",
		"_ZN10hello_rust1_3run17h99e762c02616480dE":                                    "hello_rust::run",
		"_ZN66_$LT$a..Error$u20$as$u20$core..fmt..Display$GT$3fmt17h2d1906ba146c6818E": "_ZN66_$LT$a..Error$u20$as$u20$core..fmt..Display$GT$3fmt17h2d1906ba146c6818E",
		"_RNvCs15kBYyAo9fc_7mycrate7example":                                           "mycrate::example",
		"_Z3addii":                                                                     "add",
		"main.post":                                                                    "main.post",
		"_R":                                                                           "_R",
		"flawless_start":                                                               "flawless_start",
	} {
		if got := Demangle(mangled); got != want {
			t.Errorf("%s is %s, want %s", mangled, got, want)
		}
	}
}
