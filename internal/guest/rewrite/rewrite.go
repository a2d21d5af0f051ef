package rewrite

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"
)

// Options say what a module may import, and set its limits.
type Options struct {
	// Offered reports whether a function may be imported. Nil offers nothing. It is not called for flawless.quantum,
	// which no module may import by itself.
	Offered func(module, name string) bool

	// Quantum is the initial value of Units: how many units the guest computes before it calls flawless.quantum. With 0
	// or less, the first check calls it.
	Quantum int64

	// Depth is how many calls may be on the guest's stack. Functions that call nothing, and light functions (see
	// graph.go), are counted with their callers. A large function counts as several calls, so that the depth also
	// bounds the bytes of the stack.
	Depth int32

	// Sites makes the guest record the call site before each call, in the global Result.Site: the offset in the
	// content of the input's code section.
	Sites bool

	// Inert returns the functions of a Go program that must return at once, by index, not counting imports. Its
	// argument is the initial memory. Nil is none.
	Inert func(data []Segment) []int
}

// Result is a rewritten module, and what the host has to know about it. It shares no memory with the input.
type Result struct {
	// Binary is the rewritten module. It has one more import, flawless.quantum, of type () -> ().
	Binary []byte

	// Hollow is Binary with functions that only trap: types, imports, globals, elements, exports and names are the
	// same. Modules with different code have different hollow modules; those that differ in nothing but their data have
	// the same Binary and Hollow.
	Hollow []byte

	// Whole identifies the code. The export WholeName returns it.
	Whole uint64

	// Data is what the host has to write to memory before Start. It is sorted by offset, does not overlap, and fits
	// MinPages.
	Data []Segment

	// Start is the export name of the start function, "" if there is none.
	Start string

	// Globals are the export names of all mutable globals by index, including Units and Depth. Together with the memory
	// they are the whole state of the program. All are numbers of 32 or 64 bits.
	Globals []string

	// Units is the export name of the i64 global that counts down as the guest computes. Below 0 the guest calls
	// flawless.quantum, which has to set it again.
	Units string

	// Depth is the export name of the i32 global with the remaining depth. A call that is too deep traps as unreachable
	// and leaves it below 0; no other trap does. It has to be set again after a trap.
	Depth string

	// Site is the export name of the i32 global for Options.Sites, "" without it. It is not among Globals.
	Site string

	// MinPages and MaxPages are the limits of memory in pages of 64 KiB. MaxPages is 0 if the module sets no maximum.
	MinPages, MaxPages uint32

	// Exports are the exported functions and their types, such as "(i32,i32)->(i32)".
	Exports map[string]string
}

// Rewrite checks a module and rewrites it. The error is flawless.Invalid if bin is damaged or not WebAssembly, and
// flawless.Refused if it uses something that the engine does not run; it says where, why and what to do. Rewrite may be
// called concurrently, and keeps nothing of bin.
func Rewrite(bin []byte, o Options) (*Result, error) {
	m := &module{options: o, read: reader{bytes: bin, end: len(bin)}}
	if err := m.decode(); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	code, err := m.code()
	if err != nil {
		return nil, err
	}
	// The mark is of all that is compiled: modules that differ in their data alone have the same code.
	none := make([]byte, sha256.Size)
	of := sha256.Sum256(m.encode(append(slices.Clip(code), m.whole(0)...), none))
	sum := of[:]
	r := m.result()
	r.Whole = binary.LittleEndian.Uint64(sum)
	r.Binary = m.encode(append(code, m.whole(r.Whole)...), sum)
	r.Hollow = m.encode(m.hollow(), sum)
	return r, nil
}

func (m *module) result() *Result {
	r := &Result{
		Data:     m.data,
		Units:    globalName(m.units()),
		Depth:    globalName(m.depth()),
		MinPages: m.memory.min,
		Exports:  make(map[string]string),
	}
	if m.memory.bounded {
		r.MaxPages = m.memory.max
	}
	if m.start >= 0 {
		r.Start = startName
	}
	if m.options.Sites {
		r.Site = globalName(m.site())
	}
	for _, e := range m.exports {
		if e.kind == externFunc {
			r.Exports[e.name] = m.types[m.funcs[e.index]].String()
		}
	}
	for _, g := range m.mutable() {
		r.Globals = append(r.Globals, globalName(g))
	}
	return r
}

// mutable returns the indices of all mutable globals, including the two that are added.
func (m *module) mutable() []uint32 {
	var out []uint32
	for i, g := range m.globals {
		if g.mutable {
			out = append(out, uint32(i))
		}
	}
	return append(out, m.units(), m.depth())
}

// missing returns the sorted imports that are not offered.
func (m *module) missing() []string {
	seen := make(map[string]bool)
	for _, im := range m.imports {
		if m.options.Offered == nil || !m.options.Offered(im.module, im.name) {
			seen[im.module+"."+im.name] = true
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
