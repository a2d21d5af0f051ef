package guest

import (
	"context"
	"slices"
	"strings"
	"testing"
)

const manifest = `{"sdk":"test","workflows":[{"name":"w"}]}`

// Addresses in hand-written guests.
const (
	manifestAt = 0
	textAt     = 64
	scratchAt  = 4096
)

// Instructions for hand-written guests.
var (
	drop        = []byte{0x1a}
	unreachable = []byte{0x00}
	store       = []byte{0x36, 2, 0}       // the i32 on top of the stack at the address below it
	again       = []byte{0x0c, 0x00, 0x0b} // the end of forever
	forever     = []byte{0x03, 0x40}
)

// program is a hand-written guest. Its functions return nothing.
type program struct {
	imports []string // module.function
	names   []string
	bodies  [][]byte
	pages   byte // of memory, below 64; 0 is none
	text    string
	types   map[string]string // wrong parameters of imports
	mark    string            // some more data
	takes   string            // parameters of its functions
}

// hand returns a guest that can describe itself, and has this text in its memory.
func hand(text string) *program {
	p := &program{pages: 1, text: text}
	p.add("flawless_describe", p.call("flawless.describe", manifestAt, len(manifest)))
	return p
}

func (p *program) add(name string, code ...[]byte) *program {
	p.names = append(p.names, name)
	p.bodies = append(p.bodies, slices.Concat(code...))
	return p
}

func number(op byte, v int64) []byte {
	out := []byte{op}
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

func i32(v int) []byte { return number(0x41, int64(int32(v))) }

func signature(name string) (params, results string) {
	module, function, _ := strings.Cut(name, ".")
	for _, h := range hosts {
		for _, f := range h.functions {
			if h.module == module && f.name == function {
				return f.params, f.results
			}
		}
	}
	return "", ""
}

// call returns code that calls a host function and leaves its result on the stack.
func (p *program) call(name string, args ...int) []byte {
	at := slices.Index(p.imports, name)
	if at < 0 {
		at = len(p.imports)
		p.imports = append(p.imports, name)
	}
	params, _ := signature(name)
	var out []byte
	for n, a := range args {
		if params[n] == 'I' {
			out = append(out, number(0x42, int64(a))...)
		} else {
			out = append(out, i32(a)...)
		}
	}
	return append(out, 0x10, byte(at))
}

func unsigned(n int) []byte {
	var out []byte
	for ; n > 0x7f; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

func named(s string) []byte { return append(unsigned(len(s)), s...) }

func section(id byte, items ...[]byte) []byte {
	b := slices.Concat(append([][]byte{unsigned(len(items))}, items...)...)
	return slices.Concat([]byte{id}, unsigned(len(b)), b)
}

// wasm returns the binary. Type n is that of import n, the last is () -> ().
func (p *program) wasm() []byte {
	var kinds, imports, funcs, exports, code [][]byte
	types := func(s string) []byte {
		return named(strings.NewReplacer("i", "\x7f", "I", "\x7e").Replace(s))
	}
	for n, name := range p.imports {
		params, results := signature(name)
		if other, there := p.types[name]; there {
			params = other
		}
		module, function, _ := strings.Cut(name, ".")
		kinds = append(kinds, slices.Concat([]byte{0x60}, types(params), types(results)))
		imports = append(imports, slices.Concat(named(module), named(function), []byte{0, byte(n)}))
	}
	kinds = append(kinds, slices.Concat([]byte{0x60}, types(p.takes), types("")))
	for n, name := range p.names {
		funcs = append(funcs, []byte{byte(len(p.imports))})
		exports = append(exports, append(named(name), 0, byte(len(p.imports)+n)))
		body := slices.Concat([]byte{0}, p.bodies[n], []byte{0x0b})
		code = append(code, append(unsigned(len(body)), body...))
	}
	out := slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), section(1, kinds...), section(2, imports...), section(3, funcs...))
	if p.pages == 0 {
		return slices.Concat(out, section(7, exports...), section(10, code...))
	}
	exports = append(exports, append(named("memory"), 2, 0))
	data := func(at int, s string) []byte {
		return slices.Concat([]byte{0}, i32(at), []byte{0x0b}, named(s))
	}
	return slices.Concat(out, section(5, []byte{0, p.pages}), section(7, exports...), section(10, code...),
		section(11, data(manifestAt, manifest), data(textAt, p.text), data(scratchAt-64, p.mark)))
}

// newRuntime returns a runtime that is closed with the test.
func newRuntime(t testing.TB, o Options) *Runtime {
	t.Helper()
	r, err := NewRuntime(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

func loadProgram(t testing.TB, p *program, o Options) *Module {
	t.Helper()
	m, err := newRuntime(t, o).Load(t.Context(), p.wasm(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}
