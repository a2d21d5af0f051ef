package guest

import (
	"cmp"
	"context"
	"crypto/sha256"
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

// quantum is how many metered units a guest computes before it yields: about a millisecond.
const quantum = 1 << 20

// initUnits is how many units a module may use to initialise or describe itself: a few seconds.
const initUnits = 1 << 33

// depth is how many calls a guest may have on its stack. It is the same on every machine, and below what any machine
// can hold.
const depth = 100_000

// maxCompiling is how many modules are compiled at a time. Each uses all CPUs. With two, a module can be loaded for
// its runs while a large one is added.
const maxCompiling = 2

// Options say how guests are run. The zero value serves.
type Options struct {
	CacheDir    string // where compiled code is kept; "" keeps it in memory only
	MemoryPages uint32 // limit of a guest's memory in pages of 64 KiB; 0 is 4096 (256 MiB)
	TurnUnits   uint64 // metered units that a turn may use; 0 is unlimited
	Interpreter bool   // much slower, for tests of determinism

	copied  bool // memory is copied instead of mapped, for tests
	patient bool // no turn ends early, for tests
}

// Runtime compiles and runs modules. All methods may be called concurrently.
type Runtime struct {
	options Options
	wazero  wazero.Runtime
	cache   wazero.CompilationCache
	kept    cache.Dir
	plain   wazero.RuntimeConfig // without the cache

	compiling chan struct{} // semaphore of maxCompiling

	packer   *zstd.Encoder
	unpacker *zstd.Decoder

	mu         sync.Mutex
	expected   *Module                          // loaded by Expect
	turnstiles map[[sha256.Size]byte]*turnstile // of compileShared
}

// NewRuntime returns a runtime. The caller closes it after all its modules.
func NewRuntime(ctx context.Context, o Options) (*Runtime, error) {
	o.MemoryPages = cmp.Or(o.MemoryPages, 4096)
	if o.MemoryPages > 65536 {
		return nil, fmt.Errorf("a limit of %d pages for a guest's memory is too high, WebAssembly has 65536 at most: %w", o.MemoryPages, flawless.Invalid)
	}
	r := &Runtime{options: o, kept: cacheOf(o), compiling: make(chan struct{}, maxCompiling)}
	var err error
	if r.packer, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0))); err != nil {
		return nil, fmt.Errorf("preparing to freeze guests: %w", err)
	}
	if r.unpacker, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(2*uint64(o.MemoryPages)<<16)); err != nil {
		return nil, fmt.Errorf("preparing to thaw guests: %w", err)
	}
	r.packer.EncodeAll(nil, nil) // the first use initialises it, which takes a while
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

// Close releases everything, instances included. It waits for loads that were given up and are still compiling. If ctx ends
// before they have ended, nothing is released, and the error is nil: the process is about to end.
func (r *Runtime) Close(ctx context.Context) error {
	for range maxCompiling {
		if !r.reserve(ctx) {
			return nil
		}
		defer func() { <-r.compiling }()
	}
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

// reserve reports whether it has got one of the places to compile before ctx ended.
func (r *Runtime) reserve(ctx context.Context) bool {
	select {
	case r.compiling <- struct{}{}:
		return true
	default: // if ctx has ended too, a free place counts
	}
	select {
	case r.compiling <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// compile compiles a rewritten module. If that fails because the cache on disk is damaged, full or gone, it removes all
// compiled code and compiles again.
func (r *Runtime) compile(ctx context.Context, bin []byte) (wazero.CompiledModule, error) {
	m, err := r.compileShared(ctx, bin)
	if err == nil {
		memory.CollapseCode()
		return m, nil
	}
	if r.cache != nil && ctx.Err() == nil {
		without := wazero.NewRuntimeWithConfig(ctx, r.plain)
		defer func() { _ = without.Close(ctx) }()
		if _, err = compileWith(ctx, without, bin); err == nil {
			return r.recompile(ctx, bin)
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("compiling the module: %w", ctx.Err())
	}
	return nil, fmt.Errorf("compiling the module: %v: %w", err, flawless.Refused)
}

// recompile compiles a module after the cache, and not the module, has failed.
func (r *Runtime) recompile(ctx context.Context, bin []byte) (wazero.CompiledModule, error) {
	r.kept.RemoveAllCode()
	m, err := r.compileShared(ctx, bin)
	if err != nil { // the code could not be written; now it is in memory
		m, err = r.compileShared(ctx, bin)
	}
	if err != nil {
		return nil, fmt.Errorf("compiling with the cache in %s: %w", r.options.CacheDir, err)
	}
	return m, nil
}

// compileWith compiles a module until ctx ends. It turns panics into errors.
func compileWith(ctx context.Context, r wazero.Runtime, bin []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the WebAssembly compiler failed: %v", p)
		}
	}()
	// wazero checks the context between two functions, but only with several workers.
	return r.CompileModule(experimental.WithCompilationWorkers(ctx, max(2, runtime.GOMAXPROCS(0))), bin)
}

// types returns the value types for a string such as "iI".
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
