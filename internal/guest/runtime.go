package guest

import (
	"cmp"
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/flawless-engine/flawless"
)

// quantum is how many metered units a guest computes before it lets others go on: about a
// millisecond.
const quantum = 1 << 20

// depth is how many calls a guest may have on its stack. It is the same on every machine, and below
// what any of them can hold.
const depth = 100_000

// Options says how guests are run. The zero value serves.
type Options struct {
	CacheDir    string // compiled code, by its digest and the engine's version; "" keeps it in memory only
	MemoryPages uint32 // limit of a guest's linear memory in pages of 64 KiB; 0 is 4096 (256 MiB)
	TurnUnits   uint64 // metered units a turn may use; 0 is unlimited
	Interpreter bool   // slower by far; for tests of determinism
}

// Runtime compiles and runs modules. All methods may be called concurrently.
type Runtime struct {
	options Options
	wazero  wazero.Runtime
	cache   wazero.CompilationCache
}

// NewRuntime returns a runtime. Whoever made it closes it, after all its modules.
func NewRuntime(ctx context.Context, o Options) (*Runtime, error) {
	o.MemoryPages = cmp.Or(o.MemoryPages, 4096)
	if o.MemoryPages > 65536 {
		return nil, fmt.Errorf("a guest's memory is limited to %d pages, WebAssembly has no more than 65536: %w", o.MemoryPages, flawless.Invalid)
	}
	r := &Runtime{options: o}
	config := wazero.NewRuntimeConfigCompiler()
	if o.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	config = config.WithMemoryLimitPages(o.MemoryPages).WithCoreFeatures(api.CoreFeaturesV2)
	if o.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("opening the cache of compiled modules in %s: %w", o.CacheDir, err)
		}
		r.cache = cache
		config = config.WithCompilationCache(cache)
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
	err := r.wazero.Close(ctx)
	if r.cache != nil {
		if e := r.cache.Close(ctx); err == nil {
			err = e
		}
	}
	return err
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
