package symbol

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/ianlancetaylor/demangle"

	"github.com/flawless-engine/flawless"
)

// Table holds the names and lines of one module's functions. A function is known by its index, not counting
// imports. A Table may be used concurrently once all names are set.
type Table struct {
	names map[int]string // from the name section, demangled
	pcln  *pcln          // of a Go program that has one
	dwarf *dwarfLines    // of any other program
}

// Go returns the table of a Go program whose memory begins as image.
func Go(image []byte) *Table {
	t := &Table{names: map[int]string{}, pcln: findPCLN(image)}
	if t.pcln != nil {
		t.pcln.findInlined(image)
	}
	return t
}

// DWARF returns the table of a program in another language, from the DWARF in its binary. Without DWARF that
// can be read it has no lines: they are for people, and no module is refused because of them.
func DWARF(bin []byte) *Table { return &Table{names: map[int]string{}, dwarf: readDWARF(bin)} }

// SetName sets the name of a function as it is in the name section, mangled or not.
func (t *Table) SetName(index int, name string) { t.names[index] = Demangle(name) }

// Func returns the name of a function, "" if it has none, and where it begins.
func (t *Table) Func(index int) (name string, site flawless.Site) {
	if t.pcln != nil {
		if name = t.pcln.name(index); name != "" {
			return name, siteOf(t.pcln.line(index, 0))
		}
	}
	if t.dwarf != nil {
		site = t.dwarf.heads[index]
	}
	return t.names[index], site
}

// Call returns the function that a call is in, -1 if it is unknown, and the line of the call. In Go pc is the
// return address, which is behind the call; in other languages it is the address of the call itself. 0 is an
// unknown address.
func (t *Table) Call(pc uint64) (index int, site flawless.Site) {
	switch {
	case pc == 0:
		return -1, site
	case t.dwarf != nil:
		return t.dwarf.at(pc)
	case t.pcln == nil:
		return -1, site
	}
	index = int(pc>>16) - firstFunc
	return index, siteOf(t.pcln.line(index, uint16(max(pc&0xffff, 1)-1)))
}

// Frame is a function on a stack.
type Frame struct {
	flawless.StackFrame
	Own bool // it is code of the program's own project; only known for other languages than Go
}

// Frames returns the functions at a position as in [Table.Call] that is in the function index, innermost first: those that were
// inlined there, and the function itself. If the position is in another function, the line is where the function begins.
func (t *Table) Frames(index int, pc uint64) []Frame {
	name, head := t.Func(index)
	at, site := t.Call(pc)
	switch {
	case at != index:
		return []Frame{{StackFrame: flawless.StackFrame{Func: name, Site: head}}}
	case t.dwarf != nil:
		inner, site, own := t.dwarf.frames(index, pc)
		return append(inner, Frame{flawless.StackFrame{Func: name, Site: site}, own})
	}
	entry, ok := t.pcln.entry(index)
	if !ok {
		return []Frame{{StackFrame: flawless.StackFrame{Func: name, Site: site}}}
	}
	var out []Frame
	for _, f := range t.pcln.inlined(entry, index, uint16(max(pc&0xffff, 1)-1)) {
		out = append(out, Frame{StackFrame: f})
	}
	return out
}

// GoFuncs yields the index and name of each function of the Go program whose memory begins as image, in no
// order.
func GoFuncs(image []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		lines := findPCLN(image)
		if lines == nil {
			return
		}
		for at, index := range lines.all() {
			if !yield(index, lines.nameAt(at)) {
				return
			}
		}
	}
}

// Demangle returns a name as it is in the source. Compilers of Rust and C++ mangle names; other names are
// returned as they are.
func Demangle(name string) string {
	const maxLength = 12 // 2^12 bytes
	name = demangle.Filter(name, demangle.NoParams, demangle.MaxLength(maxLength))
	return strings.ReplaceAll(name, "::::", "::") // demangling leaves gaps for parts without a name
}

// textOf returns file:line.
func textOf(s flawless.Site) string { return s.File + ":" + strconv.Itoa(s.Line) }

// siteOf keeps the last two elements of a path. They are the same on every machine.
func siteOf(file string, line int) flawless.Site {
	if i := strings.LastIndexByte(file, '/'); i > 0 {
		file = file[strings.LastIndexByte(file[:i], '/')+1:]
	}
	return flawless.Site{File: file, Line: line}
}

// runtimePrefixes are the prefixes of functions below the user's code and libraries.
var runtimePrefixes = []string{"runtime.", "runtime/", "internal/", "sync.", "sync/", "syscall.", "unique.", "weak.", "go:", "type:",
	"_rt0_", "wasm_", "memeqbody", "cmpbody", "callRet", "debugCall", "gcWriteBarrier", "__rust", "__rg", "rust_", "dlmalloc",
	"core::", "alloc::", "std::", "<core::", "<alloc::", "<std::"}

// IsRuntime reports whether a function belongs to the runtime of its language and not to the user's code or a
// library.
func IsRuntime(name string) bool {
	return slices.ContainsFunc(runtimePrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
