package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestLogLinesOfATurnAreLimited writes log lines in all ways there are. The limit counts them as JSON.
func TestLogLinesOfATurnAreLimited(t *testing.T) {
	t.Parallel()
	nuls := string(make([]byte, maxLine-1))
	for _, row := range []struct {
		name string
		log  func(i *Instance)
	}{
		{"printed", func(i *Instance) { i.print(1, []byte(nuls+"\n")) }},
		{"printed without an end", func(i *Instance) { i.print(0, []byte(nuls)) }},
		{"a call", func(i *Instance) { i.line(nil, []byte(nuls)) }},
		{"fields of a call", func(i *Instance) { i.line([]byte(`{"fields":{"a":"`+strings.Repeat(`\u0000`, maxLine)+`"}}`), nil) }},
		{"a command", func(i *Instance) { crateGuest{i}.Log("info", nuls) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			i := &Instance{}
			var broke *fault
			func() {
				defer func() { broke, _ = recover().(*fault) }()
				for range 2 * maxLogged / (6 * len(nuls)) {
					row.log(i)
				}
			}()
			if broke == nil || broke.kind != "limit" || !strings.Contains(broke.text, "exceed the limit of 16 MiB") {
				t.Fatalf("it ended with %v", broke)
			}
			i.endLines()
			shown, err := json.Marshal(i.out.Lines)
			if n := len(shown); err != nil || n < maxLogged/2 || n > maxLogged+6*maxLine+len(i.out.Lines)*100 {
				t.Errorf("its lines have %d bytes as JSON, %v", n, err)
			}
		})
	}
}

// odd is a valid guest that is small except in one dimension.
type odd struct {
	types, funcs, tables, globals, exports, elems, data [][]byte
	pages                                               int
	bodies                                              [][]byte // of functions 2 and on: locals and code
	custom                                              []byte
}

// wasm returns the binary. Type 0 and function 0 are those of describe, type 1 is () -> (), function 1
// describes and starts.
func (o odd) wasm() []byte {
	types := append([][]byte{{0x60, 2, 0x7f, 0x7f, 0}, {0x60, 0, 0}}, o.types...)
	funcs := append([][]byte{{1}}, o.funcs...)
	exports := append([][]byte{
		append(named("flawless_describe"), 0, 1), append(named("flawless_start"), 0, 1), append(named("memory"), 2, 0),
	}, o.exports...)
	describe := slices.Concat([]byte{0}, i32(0), i32(len(manifest)), []byte{0x10, 0, 0x0b})
	var code [][]byte
	for _, b := range append([][]byte{describe}, o.bodies...) {
		code = append(code, append(unsigned(len(b)), b...))
	}
	for len(funcs) < len(code) {
		funcs = append(funcs, []byte{1})
	}
	data := append([][]byte{slices.Concat([]byte{0}, i32(0), []byte{0x0b}, named(manifest))}, o.data...)
	out := slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), section(1, types...),
		section(2, slices.Concat(named("flawless"), named("describe"), []byte{0, 0})), section(3, funcs...))
	if len(o.tables) > 0 {
		out = append(out, section(4, o.tables...)...)
	}
	out = append(out, section(5, append([]byte{0}, unsigned(max(o.pages, 1))...))...)
	if len(o.globals) > 0 {
		out = append(out, section(6, o.globals...)...)
	}
	out = append(out, section(7, exports...)...)
	if len(o.elems) > 0 {
		out = append(out, section(9, o.elems...)...)
	}
	return slices.Concat(out, section(10, code...), section(11, data...), o.custom)
}

// oddCode is an odd module with a function of this code.
func oddCode(code ...[]byte) odd {
	return odd{bodies: [][]byte{slices.Concat(append([][]byte{{0}}, code...)...)}}
}

func times(n int, b ...byte) []byte { return bytes.Repeat(b, n) }

// withLocals is an odd module with a function of n locals, and each piece of code once for each of them.
func withLocals(n int, pieces ...func(local []byte) []byte) odd {
	code := slices.Concat([]byte{1}, unsigned(n), []byte{0x7f})
	for _, p := range pieces {
		for i := range n {
			code = append(code, p(unsigned(i))...)
		}
	}
	return odd{bodies: [][]byte{append(code, 0x0b)}}
}

// manyValues is a type of n parameters and m results.
func manyValues(n, m int) []byte {
	return slices.Concat([]byte{0x60}, unsigned(n), times(n, 0x7f), unsigned(m), times(m, 0x7f))
}

// dimensions are the ways in which a small module can be large. The first size is one that has to be
// added, the second one that has to be refused.
var dimensions = []struct {
	name    string
	added   int
	refused int
	make    func(n int) odd
	wants   string // in the error
}{
	{name: "functions", added: 10_000, refused: 300_000, wants: "functions", make: func(n int) odd {
		return odd{bodies: slices.Repeat([][]byte{{0, 0x0b}}, n)}
	}},
	{name: "functions with many parameters", added: 500, make: func(n int) odd {
		return odd{types: [][]byte{manyValues(1000, 0)}, funcs: slices.Repeat([][]byte{{2}}, n), bodies: slices.Repeat([][]byte{{0, 0x0b}}, n)}
	}},
	{name: "functions with many locals", added: 100, refused: 20_000, wants: "all together", make: func(n int) odd {
		return odd{bodies: slices.Repeat([][]byte{slices.Concat([]byte{1}, unsigned(48_000), []byte{0x7f, 0x0b})}, n)}
	}},
	{name: "targets of a br_table", added: 5000, refused: 200_000, wants: "branches", make: func(n int) odd {
		return oddCode([]byte{0x02, 0x40, 0x41, 0, 0x0e}, unsigned(n), times(n+1, 0), []byte{0x0b, 0x0b})
	}},
	{name: "br_tables", added: 500, refused: 15_000, wants: "branches", make: func(n int) odd {
		return oddCode([]byte{0x02, 0x40}, times(n, 0x02, 0x40, 0x41, 0, 0x0e, 2, 0, 1, 1, 0x0b), []byte{0x0b, 0x0b})
	}},
	{name: "values passed to the targets of a br_table", added: 10, refused: 100_000, wants: "pass on", make: func(n int) odd {
		return odd{types: [][]byte{manyValues(0, 1000)}, bodies: [][]byte{slices.Concat([]byte{0, 0x02, 2}, times(1000, 0x41, 0),
			[]byte{0x41, 0, 0x0e}, unsigned(n), times(n+1, 0), []byte{0x0b}, times(1000, 0x1a), []byte{0x0b})}}
	}},
	{name: "conditional branches to one block", added: 2000, refused: 60_000, wants: "branches", make: func(n int) odd {
		return oddCode([]byte{0x02, 0x40}, times(n, 0x41, 0, 0x0d, 0), []byte{0x0b, 0x0b})
	}},
	{name: "conditional returns", added: 2000, refused: 60_000, wants: "branches", make: func(n int) odd {
		return oddCode(times(n, 0x41, 0, 0x0d, 0), []byte{0x0b})
	}},
	{name: "conditional branches to one loop", added: 2000, refused: 60_000, wants: "branches", make: func(n int) odd {
		return oddCode([]byte{0x03, 0x40}, times(n, 0x41, 0, 0x0d, 0), []byte{0x0b, 0x0b})
	}},
	{name: "ifs", added: 1000, refused: 25_000, wants: "branches", make: func(n int) odd {
		return oddCode(times(n, 0x41, 0, 0x04, 0x40, 0x0b), []byte{0x0b})
	}},
	{name: "blocks in each other", added: 2000, refused: 60_000, wants: "blocks", make: func(n int) odd {
		return oddCode(times(n, 0x02, 0x40), times(n, 0x0b), []byte{0x0b})
	}},
	{name: "ifs in each other", added: 1000, refused: 25_000, wants: "blocks", make: func(n int) odd {
		return oddCode(times(n, 0x41, 0, 0x04, 0x40), times(n, 0x0b), []byte{0x0b})
	}},
	{name: "loops in each other", added: 500, refused: 10_000, wants: "loops", make: func(n int) odd {
		return oddCode(times(n, 0x03, 0x40), times(n, 0x41, 0, 0x0d, 0, 0x0b), []byte{0x0b})
	}},
	{name: "loops", added: 500, refused: 10_000, wants: "blocks", make: func(n int) odd {
		return oddCode(times(n, 0x03, 0x40, 0x41, 0, 0x0d, 0, 0x0b), []byte{0x0b})
	}},
	{name: "locals", added: 49_000, refused: 1<<32 - 1, wants: "locals", make: func(n int) odd {
		return odd{bodies: [][]byte{slices.Concat([]byte{1}, unsigned(n), []byte{0x7f, 0x0b})}}
	}},
	{name: "locals in a loop", added: 2000, refused: 40_000, wants: "locals", make: func(n int) odd {
		o := withLocals(n, func(l []byte) []byte { return slices.Concat([]byte{0x20}, l, []byte{0x1a}) })
		head := 1 + len(unsigned(n)) + 1
		o.bodies[0] = slices.Concat(o.bodies[0][:head], []byte{0x03, 0x40}, o.bodies[0][head:len(o.bodies[0])-1], []byte{0x41, 0, 0x0d, 0, 0x0b, 0x0b})
		return o
	}},
	{name: "locals that live in all loops", added: 200, refused: 2000, wants: "locals", make: func(n int) odd {
		return withLocals(n, func(l []byte) []byte {
			return slices.Concat([]byte{0x03, 0x40, 0x20}, l, []byte{0x41, 1, 0x6a, 0x22}, l, []byte{0x0d, 0, 0x0b})
		}, func(l []byte) []byte { return slices.Concat([]byte{0x41, 0, 0x20}, l, []byte{0x36, 2, 0}) })
	}},
	{name: "locals of loops in each other", added: 60, refused: 500, wants: "levels", make: func(n int) odd {
		return withLocals(n, func(l []byte) []byte {
			return slices.Concat([]byte{0x03, 0x40, 0x20}, l, []byte{0x41, 1, 0x6a, 0x21}, l)
		}, func(l []byte) []byte { return slices.Concat([]byte{0x20}, l, []byte{0x0d, 0, 0x0b}) })
	}},
	{name: "values on the stack below branches", added: 500, refused: 15_000, wants: "branches", make: func(n int) odd {
		return oddCode(times(n, 0x41, 0, 0x28, 2, 0), times(n, 0x41, 0, 0x04, 0x40, 0x0b), times(n, 0x1a), []byte{0x0b})
	}},
	{name: "instructions", added: 20_000, refused: 140_000, wants: "instructions", make: func(n int) odd {
		return oddCode(i32(0), times(n, 0x28, 2, 0), []byte{0x1a, 0x0b})
	}},
	{name: "values on the stack", added: 10_000, refused: 70_000, wants: "values on its stack", make: func(n int) odd {
		return oddCode(times(n, 0x41, 0, 0x28, 2, 0), times(n, 0x1a), []byte{0x0b})
	}},
	{name: "types", added: 5000, refused: 11_000, wants: "types", make: func(n int) odd {
		return odd{types: slices.Repeat([][]byte{{0x60, 0, 0}}, n)}
	}},
	{name: "parameters of types", added: 20, refused: 9000, wants: "parameters and results", make: func(n int) odd {
		return odd{types: slices.Repeat([][]byte{manyValues(1000, 1000)}, n)}
	}},
	{name: "exports", added: 10_000, refused: 30_000, wants: "exports", make: func(n int) odd {
		var o odd
		for i := range n {
			o.exports = append(o.exports, append(named(fmt.Sprint("e", i)), 0, 1))
		}
		return o
	}},
	{name: "name of an export", added: 4000, refused: 1 << 20, wants: "name", make: func(n int) odd {
		return odd{exports: [][]byte{append(named(strings.Repeat("x", n)), 0, 1)}}
	}},
	{name: "globals", added: 5000, refused: 20_000, wants: "globals", make: func(n int) odd {
		return odd{globals: slices.Repeat([][]byte{{0x7f, 1, 0x41, 0, 0x0b}}, n)}
	}},
	{name: "tables", added: 50, refused: 1000, wants: "tables", make: func(n int) odd {
		return odd{tables: slices.Repeat([][]byte{{0x70, 0, 0}}, n)}
	}},
	{name: "elements of tables", added: 1, refused: 50, wants: "elements", make: func(n int) odd {
		return odd{tables: slices.Repeat([][]byte{slices.Concat([]byte{0x70, 0}, unsigned(100_000))}, n)}
	}},
	{name: "segments of elements", added: 5000, refused: 20_000, wants: "segments", make: func(n int) odd {
		return odd{tables: [][]byte{{0x70, 0, 10}}, elems: slices.Repeat([][]byte{{0, 0x41, 0, 0x0b, 1, 1}}, n)}
	}},
	{name: "elements that nobody uses", added: 10_000, refused: 2_000_000, wants: "elements", make: func(n int) odd {
		return odd{tables: [][]byte{{0x70, 0, 10}}, elems: [][]byte{slices.Concat([]byte{1, 0}, unsigned(n), times(n, 1))}}
	}},
	{name: "pieces of data", added: 50_000, refused: 2_200_000, wants: "pieces of data", make: func(n int) odd {
		return odd{data: slices.Repeat([][]byte{{0, 0x41, 0, 0x0b, 1, '{'}}, n)}
	}},
	{name: "zeros between data", added: 5000, make: func(n int) odd {
		o := odd{pages: 400}
		for i := range n {
			o.data = append(o.data, slices.Concat([]byte{0}, i32(1024+i*4095), []byte{0x0b, 1, 1}))
		}
		return o
	}},
	{name: "pages of memory", added: 256, refused: 5000, wants: "pages", make: func(n int) odd { return odd{pages: n} }},
	{name: "custom sections", added: 100_000, make: func(n int) odd { return odd{custom: times(n, 0, 2, 1, 'x')} }},
	{name: "name of a function", added: 1 << 20, make: func(n int) odd {
		name := slices.Concat([]byte{1, 1}, named(strings.Repeat("n", n)))
		b := slices.Concat(named("name"), []byte{1}, unsigned(len(name)), name)
		return odd{custom: slices.Concat([]byte{0}, unsigned(len(b)), b)}
	}},
}

// TestHostileModules adds modules that are large in one dimension. Each is added or refused within a
// few times what an ordinary module takes in the same process.
func TestHostileModules(t *testing.T) {
	r := newRuntime(t, Options{})
	ordinary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	load := func(b []byte) (time.Duration, error) {
		began := time.Now()
		m, err := r.Load(t.Context(), b, nil)
		took := time.Since(began)
		if err == nil {
			err = m.Close(context.Background())
		}
		return took, err
	}
	usual, err := load(ordinary)
	if err != nil {
		t.Fatal(err)
	}
	const factor = 4 // the slowest takes less than half of usual
	for _, d := range dimensions {
		t.Run(d.name, func(t *testing.T) {
			if took, err := load(d.make(d.added).wasm()); err != nil {
				t.Errorf("%d: %v", d.added, err)
			} else if took > factor*usual {
				t.Errorf("%d took %v, an ordinary module %v", d.added, took, usual)
			}
			if d.refused == 0 {
				return
			}
			took, err := load(d.make(d.refused).wasm())
			if !errors.Is(err, flawless.Refused) || !strings.Contains(err.Error(), d.wants) {
				t.Errorf("%d: %v, want it refused because of its %s", d.refused, err, d.wants)
			}
			if took > factor*usual {
				t.Errorf("%d was refused after %v, an ordinary module takes %v", d.refused, took, usual)
			}
		})
	}
}

// TestLoadingEndsWithItsContext ends the context of a load while it compiles: a client has gone, or the
// server stops. The next load of the same module finds nothing in its way.
func TestLoadingEndsWithItsContext(t *testing.T) {
	r := newRuntime(t, Options{CacheDir: t.TempDir()})
	bin := odd{bodies: slices.Repeat([][]byte{slices.Concat([]byte{0}, i32(0), times(1000, 0x28, 2, 0), []byte{0x1a, 0x0b})}, 200)}.wasm()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.Load(ctx, bin, func(stage string, _ float64) {
		if stage == "compiling" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, flawless.Refused) {
		t.Errorf("the load ended with %v, want the error of its context", err)
	}
	m, err := r.Load(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close(t.Context())
}

// TestTwoModulesAreCompiledAtATime holds two loads in the middle: a third one waits, and can be
// given up.
func TestTwoModulesAreCompiledAtATime(t *testing.T) {
	r := newRuntime(t, Options{})
	began, goOn, ended := make(chan bool), make(chan bool), make(chan error)
	for k := range maxCompiling {
		go func() {
			m, err := r.Load(t.Context(), odd{pages: k + 1}.wasm(), func(stage string, done float64) {
				if stage == "compiling" && done == 0 {
					began <- true
					<-goOn
				}
			})
			if err == nil {
				err = m.Close(context.Background())
			}
			ended <- err
		}()
		<-began
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Load(ctx, odd{pages: 10}.wasm(), nil); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("the third: %v, want it to have waited", err)
	}
	close(goOn)
	for range maxCompiling {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestGivenUpLoadKeepsNobodyWaiting gives up a load in the middle of a function that takes seconds to compile. The caller
// is back before the compiler, hears no more of it, and Close waits for the compiler.
func TestGivenUpLoadKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Options{})
	bin := oddCode(times(11_000, 0x41, 0, 0x04, 0x40, 0x0b), []byte{0x0b}).wasm()
	ctx, cancel := context.WithCancel(t.Context())
	var back atomic.Bool
	_, err := r.Load(ctx, bin, func(stage string, done float64) {
		if back.Load() {
			t.Errorf("progress %q, %v after the load was given up", stage, done)
		}
		if stage == "compiling" {
			time.AfterFunc(200*time.Millisecond, cancel) // the compiler looks at it before a function only
		}
	})
	back.Store(true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the load ended with %v, want the error of its context", err)
	}
	if len(r.compiling) == 0 {
		t.Error("the load has waited for the compiler")
	}
	if err := r.Close(ctx); err != nil || len(r.compiling) == 0 { // ctx has ended: it waits for nothing
		t.Errorf("closing while the compiler works: %v", err)
	}
	other, err := r.Load(t.Context(), odd{pages: 2}.wasm(), nil)
	if err != nil {
		t.Fatalf("another module cannot be loaded meanwhile: %v", err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
