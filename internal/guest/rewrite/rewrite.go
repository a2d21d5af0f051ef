package rewrite

import (
	"crypto/sha256"
	"encoding/binary"
	"sort"
)

// Options say what a module may import and where its limits are.
type Options struct {
	// Offered reports whether a function may be imported. Nil offers nothing. It is never asked
	// for flawless.quantum, which no guest may import by itself.
	Offered func(module, name string) bool

	// Quantum is how many units the guest computes between two calls of flawless.quantum. It is
	// the value Units starts with; at 0 or less the first check calls.
	Quantum int64

	// Depth is how many calls may be on the guest's stack. Calls of functions that call nothing, or are
	// light (see graph.go), are not counted by themselves, and a large function, or one that calls such
	// ones, counts as several calls, so that the depth bounds the bytes of stack, too.
	Depth int32

	// Sites has the guest take down where it makes a call, before each: as an offset in the content of
	// the input's code section, in the global Result.Site.
	Sites bool

	// Inert returns the functions of a Go program that are to return at once, by their index without imports.
	// It is given what is in memory at the start. Nil is none.
	Inert func(data []Segment) []int
}

// Result is a module made ready to run, and what the host has to know about it. Nothing in it
// shares memory with the input.
type Result struct {
	// Binary is the module that runs. Besides what the guest imports, it imports
	// flawless.quantum, () -> ().
	Binary []byte

	// Hollow is Binary without its code: the same types, imports, functions, globals, elements, exports
	// and names, but every function traps. Two that come from different inputs, or have different code,
	// are different.
	Hollow []byte

	// Whole tells this code from that of any other module: the export WholeName returns it.
	Whole uint64

	// Data is what the host lays into memory before Start: in order of offsets, not overlapping,
	// inside of MinPages.
	Data []Segment

	// Start is the export name of the start function, "" where there is none.
	Start string

	// Globals are the export names of all mutable globals in order of index, Units and Depth
	// among them. With the memory they are the whole state of the program. All are numbers of
	// 32 or 64 bits.
	Globals []string

	// Units is the export name of the i64 global that counts down as the guest computes. When it
	// is below 0, flawless.quantum is called, which has to set it anew.
	Units string

	// Depth is the export name of the i32 global with the depth that is left. A call too deep
	// traps as unreachable and leaves it below 0; no other trap does. After a trap it has to be
	// set anew.
	Depth string

	// Site is the export name of the i32 global that Options.Sites asks for, "" where it does not. It is
	// none of Globals.
	Site string

	// MinPages and MaxPages are the limits of memory, in pages of 64 KiB. MaxPages is 0 where
	// the module sets no bound.
	MinPages, MaxPages uint32

	// Exports are the functions the guest exports and their types, as "(i32,i32)->(i32)".
	Exports map[string]string
}

// Rewrite checks bin and changes it. Errors are flawless.Invalid where bin is no WebAssembly or is
// damaged, and flawless.Refused where it uses what the engine does not run; they say where, why and
// what to do. It may be called concurrently. It keeps nothing of bin.
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
	mark := sha256.New()
	mark.Write(bin)
	mark.Write(code)
	sum := mark.Sum(nil)
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

// mutable returns the indices of all mutable globals, with the two that are added.
func (m *module) mutable() []uint32 {
	var out []uint32
	for i, g := range m.globals {
		if g.mutable {
			out = append(out, uint32(i))
		}
	}
	return append(out, m.units(), m.depth())
}

// missing returns the imports that are not offered, sorted.
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
