package rewrite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/flawless-engine/flawless"
)

// The tests of the WebAssembly specification, version 2, come with wazero, compiled by wast2json. A script is a list
// of modules, calls and expected results.
type (
	script struct{ Commands []command }

	command struct {
		Type, Filename, Name, Text string
		Line                       int
		ModuleType                 string `json:"module_type"`
		Action                     action
		Expected                   []value
	}

	action struct {
		Type, Module, Field string
		Args                []value
	}
)

// scripts returns their directory.
var scripts = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		return "", fmt.Errorf("finding wazero: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest", "v2", "testdata"), nil
})

// TestSpecification runs the tests of the specification on rewritten modules. Each call must return or trap as
// specified, with the same bits under the compiler and the interpreter. Modules that the rewriter refuses are skipped
// and counted.
func TestSpecification(t *testing.T) {
	t.Parallel()
	dir, err := scripts()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("there are %d scripts in %s, %v", len(files), dir, err)
	}
	var all tally
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	t.Run("scripts", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				t.Parallel()
				room <- struct{}{}
				defer func() { <-room }()
				b, err := os.ReadFile(file)
				var s script
				if err == nil {
					err = json.Unmarshal(b, &s)
				}
				if err != nil {
					t.Fatal(err)
				}
				p := newPlay(t, dir)
				for _, c := range s.Commands {
					p.do(c)
				}
				all.add(p.tally)
			})
		}
	})
	t.Logf("%d modules, %d of them refused; %d correct calls; %d invalid modules refused", all.modules, all.refused, all.calls, all.bad)
	if all.modules-all.refused < 1000 || all.calls < 40_000 {
		t.Error("too little was tested")
	}
}

// tally counts what was tested.
type tally struct {
	mu                           sync.Mutex
	modules, refused, calls, bad int
}

func (t *tally) add(o *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.modules, t.refused, t.calls, t.bad = t.modules+o.modules, t.refused+o.refused, t.calls+o.calls, t.bad+o.bad
}

// play runs a script with each of wazero's engines.
type play struct {
	*tally
	t        *testing.T
	dir      string
	runtimes []wazero.Runtime
	current  []*host // nil if the module was refused
	named    map[string][]*host
	linked   bool // other modules may change their state
}

// specOptions have a quantum so small that the engine is called all the time.
var specOptions = Options{Offered: func(module, _ string) bool { return module == "spectest" }, Quantum: 20, Depth: 100_000}

func newPlay(t *testing.T, dir string) *play {
	p := &play{tally: &tally{}, t: t, dir: dir, named: map[string][]*host{}}
	ctx := context.Background()
	for _, config := range []wazero.RuntimeConfig{wazero.NewRuntimeConfigCompiler(), wazero.NewRuntimeConfigInterpreter()} {
		r := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(api.CoreFeaturesV2))
		t.Cleanup(func() { _ = r.Close(ctx) })
		p.runtimes = append(p.runtimes, r)
		b := r.NewHostModuleBuilder("spectest")
		i32, i64, f32, f64 := api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64
		for name, params := range map[string][]api.ValueType{"print": nil, "print_i32": {i32}, "print_i64": {i64},
			"print_f32": {f32}, "print_f64": {f64}, "print_i32_f32": {i32, f32}, "print_f64_f64": {f64, f64}} {
			b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(context.Context, []uint64) {}), params, nil).Export(name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
		refill := api.GoFunc(func(ctx context.Context, _ []uint64) {
			h := ctx.Value(hostKey{}).(*host)
			h.ExportedGlobal(h.r.Units).(api.MutableGlobal).Set(uint64(specOptions.Quantum))
		})
		if _, err := r.NewHostModuleBuilder(hookModule).NewFunctionBuilder().WithGoFunction(refill, nil, nil).Export(hookName).Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *play) do(c command) {
	p.t.Helper()
	switch c.Type {
	case "module":
		p.module(c)
	case "assert_return", "action":
		p.call(c, false)
	case "assert_trap", "assert_exhaustion":
		p.call(c, true)
	case "register":
		p.linked = true
	case "assert_uninstantiable", "assert_unlinkable":
		p.unlink()
	case "assert_invalid", "assert_malformed":
		if c.ModuleType == "binary" {
			p.invalid(c)
		}
	}
}

// unlink forgets modules that a refused module may have changed.
func (p *play) unlink() {
	if p.linked {
		p.current = nil
		clear(p.named)
	}
}

// invalid checks that an invalid module is refused by the rewriter, or its rewritten form by wazero.
func (p *play) invalid(c command) {
	bin, err := os.ReadFile(filepath.Join(p.dir, c.Filename))
	if err != nil {
		p.t.Fatal(err)
	}
	rewrite := rewriteAny
	if strings.HasPrefix(c.Text, "unknown memory") {
		rewrite = func(bin []byte) (*Result, error) { return Rewrite(bin, specOptions) }
	}
	out, err := rewrite(bin)
	if err == nil {
		_, err = p.runtimes[1].CompileModule(context.Background(), out.Binary)
	}
	if err == nil {
		p.t.Errorf("line %d: %s is accepted, but invalid: %s", c.Line, c.Filename, c.Text)
	}
	p.bad++
}

// module makes a module the current one.
func (p *play) module(c command) {
	p.current = nil
	p.modules++
	bin, err := os.ReadFile(filepath.Join(p.dir, c.Filename))
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := rewriteAny(bin)
	if errors.Is(err, flawless.Refused) {
		p.refused++
		p.unlink()
		return
	}
	if err != nil {
		p.t.Errorf("line %d: %s: %v", c.Line, c.Filename, err)
		return
	}
	for _, r := range p.runtimes {
		h, err := lay(r, res)
		if err != nil {
			p.t.Errorf("line %d: %s, rewritten: %v", c.Line, c.Filename, err)
			p.current = nil
			return
		}
		p.current = append(p.current, h)
	}
	if c.Name != "" {
		p.named[c.Name] = p.current
	}
}

// lay makes an instance of a rewritten module, writes its data, and starts it.
func lay(r wazero.Runtime, res *Result) (*host, error) {
	ctx := context.Background()
	m, err := r.InstantiateWithConfig(ctx, res.Binary, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	for _, s := range res.Data {
		if !m.Memory().Write(s.Offset, s.Bytes) {
			return nil, errors.New("its data lies outside of its memory")
		}
	}
	h := &host{Module: m, r: res}
	if res.Start != "" {
		if _, err := m.ExportedFunction(res.Start).Call(context.WithValue(ctx, hostKey{}, h)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// call runs an action with each engine and compares the results.
func (p *play) call(c command, traps bool) {
	hosts := p.current
	if c.Action.Module != "" {
		hosts = p.named[c.Action.Module]
	}
	var first []uint64
	for n, h := range hosts {
		got, err := h.act(c.Action)
		h.ExportedGlobal(h.r.Depth).(api.MutableGlobal).Set(uint64(specOptions.Depth)) // a trap leaves it changed
		switch {
		case traps != (err != nil):
			p.t.Errorf("line %d: %s %d: %v, want a trap: %v", c.Line, c.Action.Field, c.Action.args(), err, traps)
			return
		case n == 0:
			first = got
		case !slices.Equal(first, got):
			p.t.Errorf("line %d: %s %d is %x compiled and %x interpreted", c.Line, c.Action.Field, c.Action.args(), first, got)
		}
		if c.Type == "assert_return" && !fit(got, c.Expected) {
			p.t.Errorf("line %d: %s %d is %x, want %v", c.Line, c.Action.Field, c.Action.args(), got, c.Expected)
		}
	}
	if len(hosts) > 0 {
		p.calls++
	}
}

func (h *host) act(a action) ([]uint64, error) {
	if a.Type == "get" {
		return []uint64{h.ExportedGlobal(a.Field).Get()}, nil
	}
	f := h.ExportedFunction(a.Field)
	got, err := f.Call(context.WithValue(context.Background(), hostKey{}, h), a.args()...)
	place := 0
	for _, typ := range f.Definition().ResultTypes() {
		switch typ {
		case api.ValueTypeI32, api.ValueTypeF32:
			if place < len(got) {
				got[place] &= 1<<32 - 1 // the upper bits are from the previous value
			}
		case typeV128:
			place++
		}
		place++
	}
	return got, err
}

// hostKey is the context key of the module that calls the engine.
type hostKey struct{}

// rewriteAny is Rewrite for modules that are no guests. It adds a memory to modules without one.
func rewriteAny(bin []byte) (*Result, error) {
	m := &module{options: specOptions, read: reader{bytes: bin, end: len(bin)}}
	if err := m.decode(); err != nil {
		return nil, err
	}
	if m.memories == 0 {
		m.memories, m.raw[sectionMemory] = 1, []byte{0, 0}
	}
	if !slices.ContainsFunc(m.exports, func(e export) bool { return e.name == "memory" }) {
		m.exports = append(m.exports, export{"memory", externMemory, 0})
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	code, err := m.code()
	if err != nil {
		return nil, err
	}
	r := m.result()
	r.Binary = m.encode(append(code, m.whole(0)...), []byte{0})
	return r, nil
}
