package guest

import (
	"slices"
	"strings"

	"github.com/ianlancetaylor/demangle"
	"github.com/tetratelabs/wazero/api"

	"github.com/flawless-engine/flawless"
)

// symbols know the functions of a module: their names, files and lines, and of Go also those of calls.
type symbols struct {
	imports int
	names   map[int]string // from the name section, by index without imports
	lines   *pcln          // nil where there is none
	source  *source        // nil where it is Go
}

// fn returns the function of that index, "" where it has no name.
func (s *symbols) fn(index int) (name string, site flawless.Site) {
	if s.lines != nil {
		if name = s.lines.name(index); name != "" {
			return name, siteOf(s.lines.line(index, 0))
		}
	}
	if s.source != nil {
		site = s.source.heads[index]
	}
	return s.names[index], site
}

// at returns the function and the place of a call: of its return address in Go, which is behind it, of its
// own in others.
func (s *symbols) at(pc uint64) (index int, site flawless.Site) {
	switch {
	case pc == 0:
		return -1, site
	case s.source != nil:
		return s.source.at(pc)
	case s.lines == nil:
		return -1, site
	}
	index = int(pc>>16) - firstFunc
	return index, siteOf(s.lines.line(index, uint16(max(pc&0xffff, 1)-1)))
}

// readable is a name as the source has it, where it is mangled as compilers of Rust and C++ do.
func readable(name string) string {
	const most = 12 // 4,096 bytes
	name = demangle.Filter(name, demangle.NoParams, demangle.MaxLength(most))
	return strings.ReplaceAll(name, "::::", "::") // what has no name stands between
}

// siteOf keeps the last two elements of a path, which are the same on every machine.
func siteOf(file string, line int) flawless.Site {
	if i := strings.LastIndexByte(file, '/'); i > 0 {
		file = file[strings.LastIndexByte(file[:i], '/')+1:]
	}
	return flawless.Site{File: file, Line: line}
}

// beneath are beginnings of names of functions that a trace does not show unless it is asked for all:
// what lies beneath the user's code and the libraries.
var beneath = []string{"runtime.", "runtime/", "internal/", "sync.", "sync/", "syscall.", "unique.", "weak.", "go:", "type:",
	"_rt0_", "wasm_", "memeqbody", "cmpbody", "callRet", "debugCall", "gcWriteBarrier", "__rust", "__rg", "rust_", "dlmalloc",
	"core::", "alloc::", "std::", "<core::", "<alloc::", "<std::"}

func shown(name string, all bool) bool {
	return all || !slices.ContainsFunc(beneath, func(b string) bool { return strings.HasPrefix(name, b) })
}

// resumable tells whether a function is one that a Go guest can leave and enter again in its middle.
func resumable(d api.FunctionDefinition) bool {
	p, r := d.ParamTypes(), d.ResultTypes()
	return len(p) == 1 && p[0] == api.ValueTypeI32 && len(r) == 1 && r[0] == api.ValueTypeI32
}
