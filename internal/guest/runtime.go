package guest

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/cache"
	"github.com/flawless-engine/flawless/internal/guest/memory"
)

// quantum is how many metered units a guest computes before it lets others go on: about a
// millisecond.
const quantum = 1 << 20

// initUnits is how many units a module may use to initialise or describe itself: some seconds.
const initUnits = 1 << 33

// depth is how many calls a guest may have on its stack. It is the same on every machine, and below
// what any of them can hold.
const depth = 100_000

// maxCompiling is how many modules are compiled at a time. Each takes all CPUs, and memory for the
// function it is at. The second one lets a module be loaded for its runs while a large one is added.
const maxCompiling = 2

// Options says how guests are run. The zero value serves.
type Options struct {
	CacheDir    string // compiled code, by its digest and the engine's version; "" keeps it in memory only
	MemoryPages uint32 // limit of a guest's linear memory in pages of 64 KiB; 0 is 4096 (256 MiB)
	TurnUnits   uint64 // metered units a turn may use; 0 is unlimited
	Interpreter bool   // slower by far; for tests of determinism

	copied  bool // memory is copied and not mapped, for tests
	patient bool // no turn ends early, for tests
}

// Runtime compiles and runs modules. All methods may be called concurrently.
type Runtime struct {
	options Options
	wazero  wazero.Runtime
	cache   wazero.CompilationCache
	kept    cache.Dir
	plain   wazero.RuntimeConfig // without the cache

	compiling chan struct{} // has an item for each compilation under way

	packer   *zstd.Encoder
	unpacker *zstd.Decoder

	mu       sync.Mutex
	expected *Module // that Expect has loaded
}

// NewRuntime returns a runtime. Whoever made it closes it, after all its modules.
func NewRuntime(ctx context.Context, o Options) (*Runtime, error) {
	o.MemoryPages = cmp.Or(o.MemoryPages, 4096)
	if o.MemoryPages > 65536 {
		return nil, fmt.Errorf("a guest's memory is limited to %d pages, WebAssembly has no more than 65536: %w", o.MemoryPages, flawless.Invalid)
	}
	r := &Runtime{options: o, kept: cacheOf(o), compiling: make(chan struct{}, maxCompiling)}
	var err error
	if r.packer, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0))); err != nil {
		return nil, fmt.Errorf("preparing to freeze guests: %w", err)
	}
	if r.unpacker, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(2*uint64(o.MemoryPages)<<16)); err != nil {
		return nil, fmt.Errorf("preparing to thaw guests: %w", err)
	}
	r.packer.EncodeAll(nil, nil) // it makes itself ready at the first use, which is better done by whoever makes the runtime
	config := wazero.NewRuntimeConfigCompiler()
	if o.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	r.plain = config.WithMemoryLimitPages(o.MemoryPages).WithCoreFeatures(api.CoreFeaturesV2)
	config = r.plain
	if o.CacheDir != "" {
		code, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("opening the cache of compiled modules in %s: %w", o.CacheDir, err)
		}
		r.cache = code
		config = config.WithCompilationCache(code)
	}
	r.wazero = wazero.NewRuntimeWithConfig(ctx, config)
	for _, h := range hosts {
		b := r.wazero.NewHostModuleBuilder(h.module)
		for _, f := range h.functions {
			b.NewFunctionBuilder().WithGoModuleFunction(f.call(), types(f.params), types(f.results)).Export(f.name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			_ = r.Close(ctx)
			return nil, fmt.Errorf("offering module %s to guests: %w", h.module, err)
		}
	}
	return r, nil
}

// Close gives back everything, instances included.
func (r *Runtime) Close(ctx context.Context) error {
	if m := r.takeExpected(""); m != nil {
		_ = m.Close(ctx)
	}
	err := r.wazero.Close(ctx)
	_ = r.packer.Close()
	r.unpacker.Close()
	if r.cache != nil {
		if e := r.cache.Close(ctx); err == nil {
			err = e
		}
	}
	return err
}

// compile compiles a rewritten module. A cache on disk that is damaged, full or gone does not keep it
// from that: all compiled code is thrown away then, and made anew.
func (r *Runtime) compile(ctx context.Context, bin []byte) (wazero.CompiledModule, error) {
	m, err := compileWith(ctx, r.wazero, bin)
	if err == nil {
		memory.CollapseCode()
		return m, nil
	}
	if r.cache != nil && ctx.Err() == nil {
		without := wazero.NewRuntimeWithConfig(ctx, r.plain)
		defer func() { _ = without.Close(ctx) }()
		if _, err = compileWith(ctx, without, bin); err == nil {
			return r.compileAnew(ctx, bin)
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("compiling the module: %w", ctx.Err())
	}
	return nil, fmt.Errorf("compiling the module: %v: %w", err, flawless.Refused)
}

// compileAnew compiles where the cache, and not the module, is at fault.
func (r *Runtime) compileAnew(ctx context.Context, bin []byte) (wazero.CompiledModule, error) {
	r.kept.RemoveAllCode()
	m, err := compileWith(ctx, r.wazero, bin)
	if err != nil { // it could not be written, and is in memory now
		m, err = compileWith(ctx, r.wazero, bin)
	}
	if err != nil {
		return nil, fmt.Errorf("compiling with the cache in %s: %w", r.options.CacheDir, err)
	}
	return m, nil
}

// compileWith compiles, until ctx ends. Nothing that happens in it leaves as a panic.
func compileWith(ctx context.Context, r wazero.Runtime, bin []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the WebAssembly compiler failed: %v", p)
		}
	}()
	// Only with several workers does wazero look at the context, between two functions.
	return r.CompileModule(experimental.WithCompilationWorkers(ctx, max(2, runtime.GOMAXPROCS(0))), bin)
}

// types turns "iI" into i32, i64.
func types(s string) []api.ValueType {
	out := make([]api.ValueType, len(s))
	for n, c := range s {
		out[n] = api.ValueTypeI32
		if c == 'I' {
			out[n] = api.ValueTypeI64
		}
	}
	return out
}
