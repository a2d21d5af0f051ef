package rewrite

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/flawless-engine/flawless"
)

// build compiles the Go guest of the package above, once.
var build = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "rewrite")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = filepath.Join("..", "testdata", "basic")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(out)
})

func all(string, string) bool { return true }

var usual = Options{Offered: all, Quantum: 1000, Depth: 100}

// mod returns a module with these sections, pairs of id and payload.
func mod(sections ...[]byte) []byte {
	b := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	for _, s := range sections {
		b = putSection(b, s[0], s[1:])
	}
	return b
}

func vec(id byte, items ...[]byte) []byte {
	b := putU([]byte{id}, uint64(len(items)))
	for _, it := range items {
		b = append(b, it...)
	}
	return b
}

func fn(code ...byte) []byte {
	code = append([]byte{0}, code...)
	return append(putU(nil, uint64(len(code))), code...)
}

func exported(name string, kind, index byte) []byte { return append(putName(nil, name), kind, index) }

var (
	memory  = vec(sectionMemory, []byte{0, 1})
	exports = vec(sectionExport, exported("memory", externMemory, 0), exported("f", externFunc, 0))
)

// simple returns a module with one exported function of this type and code.
func simple(typ []byte, code ...byte) []byte {
	return mod(vec(sectionType, typ), vec(sectionFunc, []byte{0}), memory, exports, vec(sectionCode, fn(code...)))
}

// host runs a rewritten module.
type host struct {
	api.Module
	r      *Result
	calls  int
	early  int   // of those, while units were left
	lowest int64 // units that were left at one
}

func start(t *testing.T, bin []byte, o Options, config wazero.RuntimeConfig) *host {
	t.Helper()
	res, err := Rewrite(bin, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() { _ = r.Close(ctx) })
	h := &host{r: res}
	_, err = r.NewHostModuleBuilder("flawless").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
		h.calls++
		units := m.ExportedGlobal(res.Units).(api.MutableGlobal)
		left := int64(units.Get())
		if left >= 0 {
			h.early++
		}
		h.lowest = min(h.lowest, left)
		units.Set(uint64(o.Quantum))
	}), nil, nil).Export("quantum").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if h.Module, err = r.Instantiate(ctx, res.Binary); err != nil {
		t.Fatal(err)
	}
	for _, s := range res.Data {
		h.Memory().Write(s.Offset, s.Bytes)
	}
	return h
}

func engines() map[string]wazero.RuntimeConfig {
	return map[string]wazero.RuntimeConfig{"compiler": wazero.NewRuntimeConfigCompiler(), "interpreter": wazero.NewRuntimeConfigInterpreter()}
}

// fib: if n < 2 then n else fib(n-1) + fib(n-2), with returns.
var fib = simple([]byte{0x60, 1, typeI32, 1, typeI32},
	opLocalGet, 0, opI32Const, 2, opI32LtS, opIf, blockEmpty, opLocalGet, 0, opReturn, opEnd,
	opLocalGet, 0, opI32Const, 1, opI32Sub, opCall, 0,
	opLocalGet, 0, opI32Const, 2, opI32Sub, opCall, 0, opI32Add, opEnd)

func TestRewritingKeepsResults(t *testing.T) {
	t.Parallel()
	for name, config := range engines() {
		h := start(t, fib, usual, config)
		got, err := h.ExportedFunction("f").Call(context.Background(), 20)
		if err != nil || got[0] != 6765 {
			t.Errorf("%s: fib(20) is %v, %v", name, got, err)
		}
		if d := int32(h.ExportedGlobal(h.r.Depth).Get()); d != usual.Depth {
			t.Errorf("%s: the depth is %d, it was not given back", name, d)
		}
		if h.calls == 0 {
			t.Errorf("%s: the quantum was never used up", name)
		}
	}
}

func TestCostsAreDeterministic(t *testing.T) {
	t.Parallel()
	costs := map[int]bool{}
	for _, config := range engines() {
		h := start(t, fib, usual, config)
		if _, err := h.ExportedFunction("f").Call(context.Background(), 15); err != nil {
			t.Fatal(err)
		}
		costs[h.calls*1000-int(int64(h.ExportedGlobal(h.r.Units).Get()))] = true
	}
	if len(costs) != 1 {
		t.Errorf("costs differ: %v", costs)
	}
}

func TestDeepStackTraps(t *testing.T) {
	t.Parallel()
	endless := simple([]byte{0x60, 0, 0}, opCall, 0, opEnd)
	for name, config := range engines() {
		h := start(t, endless, usual, config)
		if _, err := h.ExportedFunction("f").Call(context.Background()); err == nil || !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("%s: %v", name, err)
		}
		if d := int32(h.ExportedGlobal(h.r.Depth).Get()); d >= 0 {
			t.Errorf("%s: the depth is %d after a stack too deep", name, d)
		}
	}
}

func TestEndlessLoopCallsTheEngine(t *testing.T) {
	t.Parallel()
	loop := simple([]byte{0x60, 0, 0}, opLoop, blockEmpty, opBr, 0, opEnd, opEnd)
	res, err := Rewrite(loop, usual)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	_, err = r.NewHostModuleBuilder("flawless").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {
		panic(errors.New("enough"))
	}), nil, nil).Export("quantum").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Instantiate(ctx, res.Binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ExportedFunction("f").Call(ctx); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("the loop ended with %v", err)
	}
}

// TestLoopsWithoutCallsAreCounted has functions that keep the units in a local.
func TestLoopsWithoutCallsAreCounted(t *testing.T) {
	t.Parallel()
	const n = 1000
	ty := []byte{0x60, 1, typeI32, 1, typeI32}
	loop := []byte{opLoop, blockEmpty, opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, 0x0d, 0, opEnd}
	more := slices.Concat([]byte{opI32Const, 0, opI32Const, 0, opI32Const}, putS(nil, 6400), []byte{opMisc, byte(miscMemoryFill), 0})
	for name, config := range engines() {
		for _, row := range []struct {
			name         string
			code         []byte
			each, filled int64 // what is around a loop that the entry leads to counts with it
		}{
			{"to its end", slices.Concat(loop, []byte{opLocalGet, 0, opEnd}), 11, 0},
			{"and returns", slices.Concat(loop, []byte{opLocalGet, 0, opReturn, opEnd}), 12, 0},
			{"and branches out", slices.Concat(loop, []byte{opLocalGet, 0, opBr, 0, opEnd}), 12, 0},
			{"and fills memory", slices.Concat(loop, more, []byte{opLocalGet, 0, opEnd}), 15, 100},
		} {
			for _, quantum := range []int64{1 << 40, 100} {
				o := usual
				o.Quantum = quantum
				h := start(t, simple(ty, row.code...), o, config)
				if got, err := h.ExportedFunction("f").Call(context.Background(), n); err != nil || got[0] != 0 {
					t.Fatalf("%s, %s: %v, %v", name, row.name, got, err)
				}
				left, calls := quantum, 0
				for range n {
					if left -= row.each; left < 0 {
						left, calls = quantum, calls+1
					}
				}
				if left -= row.filled; left < 0 {
					left, calls = quantum, calls+1
				}
				if units := int64(h.ExportedGlobal(h.r.Units).Get()); units != left || h.calls != calls || h.early != 0 {
					t.Errorf("%s, %s: %d units are left of %d after %d calls, %d of them early; want %d after %d", name, row.name, units, quantum, h.calls, h.early, left, calls)
				}
			}
		}
	}
}

// TestStraightLineCodeCallsTheEngine checks that long code without loops can be stopped.
func TestStraightLineCodeCallsTheEngine(t *testing.T) {
	t.Parallel()
	fill := slices.Concat([]byte{opI32Const, 0, opI32Const, 0, opI32Const}, putS(nil, 1<<16), []byte{opMisc, byte(miscMemoryFill), 0})
	leaf := bytes.Repeat([]byte{opI32Const, 0, opDrop}, maxLightCost)
	for name, row := range map[string]struct {
		bin  []byte
		most int64 // units between two calls
	}{
		"fills":            {several(fn(append(bytes.Repeat(fill, 60), opEnd)...)), 1 << 16 >> 6},
		"fills, far below": {several(fn(opCall, 1, opEnd), fn(append(bytes.Repeat(fill, 60), opEnd)...)), 1 << 16 >> 6},
		"a large function": {several(fn(append(bytes.Repeat([]byte{opCall, 1}, 60), opEnd)...), fn(append(leaf, opEnd)...)), dampened(2*maxLightCost + 1)},
	} {
		for engine, config := range engines() {
			o := usual
			o.Quantum = 100
			h := start(t, row.bin, o, config)
			if _, err := h.ExportedFunction("f").Call(context.Background()); err != nil {
				t.Fatalf("%s, %s: %v", name, engine, err)
			}
			if h.calls < 60 || h.lowest < -row.most {
				t.Errorf("%s, %s: the engine was called %d times, with %d units left once", name, engine, h.calls, h.lowest)
			}
		}
	}
}

func TestNaNsAreCanonical(t *testing.T) {
	t.Parallel()
	zero64 := make([]byte, 8)
	div64 := append(append(append([]byte{opF64Const}, zero64...), append([]byte{opF64Const}, zero64...)...), 0xa3, 0xbd, opEnd)
	div32 := []byte{opF32Const, 0, 0, 0, 0, opF32Const, 0, 0, 0, 0, 0x95, 0xbc, opEnd}
	v := make([]byte, 16)
	lanes := func(div, lane byte) []byte {
		b := append([]byte{opSIMD, 12}, v...)
		b = append(append(b, opSIMD, 12), v...)
		return append(b, opSIMD, div, 1, opSIMD, lane, 0, opEnd)
	}
	for name, config := range engines() {
		for _, row := range []struct {
			name string
			bin  []byte
			want uint64
		}{
			{"f64", simple([]byte{0x60, 0, 1, typeI64}, div64...), math.Float64bits(math.NaN()) &^ 1},
			{"f32", simple([]byte{0x60, 0, 1, typeI32}, div32...), 0x7fc00000},
			{"f32x4", simple([]byte{0x60, 0, 1, typeI32}, lanes(231&0x7f|0x80, 27)...), 0x7fc00000},
			{"f64x2", simple([]byte{0x60, 0, 1, typeI64}, lanes(243&0x7f|0x80, 29)...), math.Float64bits(math.NaN()) &^ 1},
		} {
			got, err := start(t, row.bin, usual, config).ExportedFunction("f").Call(context.Background())
			if err != nil || got[0] != row.want {
				t.Errorf("%s, %s: %x, %v, want %x", name, row.name, got, err, row.want)
			}
		}
	}
}

func TestDataIsMerged(t *testing.T) {
	t.Parallel()
	at := func(n int64, text string) []byte {
		return append(append(putS([]byte{0, opI32Const}, n), opEnd), putName(nil, text)...)
	}
	bin := mod(vec(sectionType, []byte{0x60, 0, 0}), vec(sectionFunc, []byte{0}), memory, exports, vec(sectionCode, fn(opEnd)),
		vec(sectionData, at(100, "first"), at(60000, "far"), at(102, "XY"), at(8, "low")))
	r, err := Rewrite(bin, usual)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Data) != 2 || r.Data[0].Offset != 8 || !bytes.HasSuffix(r.Data[0].Bytes, []byte("fiXYt")) || string(r.Data[1].Bytes) != "far" {
		t.Errorf("data %+v", r.Data)
	}
}

func TestRefusedInput(t *testing.T) {
	t.Parallel()
	ty := vec(sectionType, []byte{0x60, 0, 0})
	one := vec(sectionFunc, []byte{0})
	code := func(c ...byte) []byte {
		return mod(ty, one, vec(sectionTable, []byte{typeFuncref, 0, 1}), memory, exports, vec(sectionCode, fn(c...)))
	}
	for _, row := range []struct {
		name string
		bin  []byte
		code flawless.Code
		text string
	}{
		{"text", []byte("hello world"), flawless.Invalid, "not a WebAssembly file"},
		{"a component", []byte{0, 'a', 's', 'm', 0x0d, 0, 1, 0}, flawless.Refused, "core module"},
		{"half a module", fib[:len(fib)-4], flawless.Invalid, "damaged"},
		{"an import that is not ours", mod(ty, vec(sectionImport, append(putName(putName(nil, "env"), "foo"), externFunc, 0)), memory, vec(sectionExport, exported("memory", externMemory, 0))), flawless.Refused, "env.foo"},
		{"no memory", mod(ty, one, vec(sectionExport, exported("f", externFunc, 0)), vec(sectionCode, fn(opEnd))), flawless.Refused, "memory"},
		{"two memories", mod(ty, vec(sectionMemory, []byte{0, 1}, []byte{0, 1})), flawless.Refused, "more than one memory"},
		{"a shared memory", mod(ty, vec(sectionMemory, []byte{3, 1, 1})), flawless.Refused, "threads"},
		{"64-bit memory", mod(ty, vec(sectionMemory, []byte{4, 1})), flawless.Refused, "wasm32"},
		{"atomics", code(opAtomic, 3, 0, opEnd), flawless.Refused, "threads"},
		{"relaxed SIMD", code(opSIMD, 0x80, 2, opEnd), flawless.Refused, "relaxed"},
		{"a changed table", code(opTableSet, 0, opEnd), flawless.Refused, "table"},
		{"table.grow", code(opMisc, 15, 0, opEnd), flawless.Refused, "table"},
		{"exceptions", code(0x06, 0x40, opEnd, opEnd), flawless.Refused, "exceptions"},
		{"tail calls", code(0x12, 0, opEnd), flawless.Refused, "tail calls"},
		{"passive data", code(opMisc, 8, 0, 0, opEnd), flawless.Refused, "passive"},
		{"a reserved export", mod(ty, one, memory, vec(sectionExport, exported("flawless:g0", externFunc, 0)), vec(sectionCode, fn(opEnd))), flawless.Refused, "reserved for the engine"},
		{"an unknown instruction", code(0xff, opEnd), flawless.Invalid, "not an instruction"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := usual
			o.Offered = func(module, _ string) bool { return module == "wasi_snapshot_preview1" }
			_, err := Rewrite(row.bin, o)
			if !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.text) {
				t.Errorf("got %v, want %v with %q", err, row.code, row.text)
			}
		})
	}
}

func TestRewritingGoIsDeterministic(t *testing.T) {
	t.Parallel()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	a, err := Rewrite(bin, usual)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Rewrite(bin, usual)
	if err != nil || !bytes.Equal(a.Binary, b.Binary) {
		t.Errorf("two rewritings differ: %v", err)
	}
	if len(a.Data) > 100 || len(a.Data) == 0 {
		t.Errorf("there are %d pieces of data", len(a.Data))
	}
}

func BenchmarkRewrite(b *testing.B) {
	bin, err := build()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(bin)))
	for b.Loop() {
		if _, err := Rewrite(bin, usual); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSamplesAreAccepted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	t.Cleanup(func() { _ = r.Close(ctx) })
	for i, bin := range samples() {
		for _, sites := range []bool{false, true} {
			o := usual
			o.Sites = sites
			res, err := Rewrite(bin, o)
			if err != nil {
				t.Errorf("sample %d: %v", i, err)
				continue
			}
			for _, bin := range [][]byte{res.Binary, res.Hollow} {
				if _, err := r.CompileModule(ctx, bin); err != nil {
					t.Errorf("sample %d, sites %v: %v", i, sites, err)
				}
			}
			if (res.Site != "") != sites {
				t.Errorf("sample %d, sites %v: where calls are made is in %q", i, sites, res.Site)
			}
		}
	}
}
