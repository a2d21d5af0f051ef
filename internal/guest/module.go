package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/cache"
	"github.com/flawless-engine/flawless/internal/guest/memory"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
	"github.com/flawless-engine/flawless/internal/guest/symbol"
	"github.com/flawless-engine/flawless/internal/guest/wasabi"
)

// spare is how many unused instances a module keeps for the next runs.
const spare = 64

// maxManifest is the largest manifest in bytes. Every list of modules contains it.
const maxManifest = 1 << 20

// buildTime is the clock while a base image is made: 2000-01-01T00:00:00Z.
const buildTime = 946_684_800_000_000_000

// Module is a compiled module with its base image, the state after initialisation with which every run begins. All
// methods may be called concurrently.
type Module struct {
	rt         *Runtime
	digest     string
	sum        [32]byte // the digest
	manifest   flawless.Manifest
	crate      *wasabi.Module // nil if it was not built with the crates of flawless.dev
	rewritten  *rewrite.Result
	compiled   wazero.CompiledModule
	base       *memory.Image // nil if every run is initialised by itself
	globals    []uint64      // of the base image
	pages      uint32        // of the base image
	generators []uint32
	timerless  int      // what is known about the timers of the base image
	tracing    *tracing // nil if guests are not traced
	stacks     func() *symbol.Stacks

	mu     sync.Mutex
	free   []*Instance
	closed bool
}

// Load checks, rewrites and compiles a module, initialises it once and asks it for its manifest. It calls progress
// with the current stage and how much of it is done, 0 to 1; progress may be nil. A module that cannot be run is
// flawless.Refused or flawless.Invalid. If ctx ends, Load returns its error at once, and calls progress no more. The
// functions that are being compiled are still finished in the background; then nothing is left behind.
func (r *Runtime) Load(ctx context.Context, bin []byte, progress func(stage string, done float64)) (*Module, error) {
	digest := Digest(bin)
	if m := r.recall(ctx, digest); m != nil {
		return m, nil
	}
	return r.load(ctx, digest, bin, progress, nil)
}

// Digest returns the digest that names a module: the SHA-256 of its bytes, in hex.
func Digest(bin []byte) string {
	sum := sha256.Sum256(bin)
	return hex.EncodeToString(sum[:])
}

// Reload is [Runtime.Load] for a module whose digest is known. It calls read only if nothing is kept of an earlier
// load. The error is flawless.Damaged if read returns another module.
func (r *Runtime) Reload(ctx context.Context, digest string, read func() ([]byte, error), progress func(stage string, done float64)) (*Module, error) {
	if m := r.recall(ctx, digest); m != nil {
		return m, nil
	}
	bin, err := read()
	if err != nil {
		return nil, err
	}
	if got := Digest(bin); got != digest {
		return nil, fmt.Errorf("loading module %s: its bytes have the digest %s; add it again: %w", digest, got, flawless.Damaged)
	}
	return r.load(ctx, digest, bin, progress, nil)
}

// newModule returns a module with nothing but a digest.
func (r *Runtime) newModule(digest string, tracing *tracing) (*Module, error) {
	m := &Module{rt: r, digest: digest, tracing: tracing}
	m.stacks = stacksOf(m)
	if n, err := hex.Decode(m.sum[:], []byte(digest)); err != nil || n != len(m.sum) {
		return nil, fmt.Errorf("loading a module: %q is not a digest: %w", digest, flawless.Invalid)
	}
	return m, nil
}

func (r *Runtime) load(ctx context.Context, digest string, bin []byte, progress func(stage string, done float64), tracing *tracing) (*Module, error) {
	if !r.reserve(ctx) {
		return nil, fmt.Errorf("waiting for other modules to be compiled: %w", ctx.Err())
	}
	l := &loading{progress: progress, ended: make(chan struct{})}
	go func() {
		defer func() { <-r.compiling }()
		l.end(r.build(ctx, digest, bin, l.report, tracing))
	}()
	select {
	case <-l.ended:
	case <-ctx.Done():
		if l.leave() {
			return nil, fmt.Errorf("loading the module: %w", ctx.Err())
		}
	}
	return l.module, l.err
}

// loading is a load that its caller may leave before it has ended: the compiler cannot be stopped within a function, which
// may take it many seconds.
type loading struct {
	progress func(stage string, done float64)

	mu     sync.Mutex
	left   bool
	ended  chan struct{}
	module *Module // these are set before ended is closed
	err    error
}

// report reports the progress to a caller that has not left.
func (l *loading) report(stage string, done float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.left && l.progress != nil {
		l.progress(stage, done)
	}
}

// end hands the result over, or releases it if nobody wants it any more.
func (l *loading) end(m *Module, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.module, l.err = m, err
	close(l.ended)
	if l.left && err == nil {
		_ = m.Close(context.Background())
	}
}

// leave reports whether the load goes on without its caller. Otherwise it has just ended.
func (l *loading) leave() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.ended:
		return false
	default:
		l.left = true
		return true
	}
}

// build is a load in a goroutine of its own: a panic in it would end the process.
func (r *Runtime) build(ctx context.Context, digest string, bin []byte, progress func(stage string, done float64), tracing *tracing) (_ *Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("loading the module: %v\n%s", p, debug.Stack())
		}
	}()
	progress("rewriting", 0)
	m, err := r.newModule(digest, tracing)
	if err != nil {
		return nil, err
	}
	how := rewrite.Options{Offered: offered, Quantum: quantum, Depth: depth}
	if isGo(bin) {
		how.Inert = inert
	} else {
		how.Sites = tracing != nil
	}
	if m.rewritten, err = rewrite.Rewrite(bin, how); err != nil {
		return nil, err
	}
	if m.crate, err = wasabi.Parse(m.rewritten.Exports, bin, isExport); err != nil {
		return nil, err
	}
	if err := r.check(m.rewritten, m.crate != nil); err != nil {
		return nil, err
	}
	progress("rewriting", 1)
	progress("compiling", 0)
	kept, err := m.compile(ctx, bin)
	if err != nil {
		return nil, err
	}
	if _, there := m.compiled.ExportedMemories()["memory"]; !there {
		_ = m.compiled.Close(ctx)
		return nil, fmt.Errorf("the module does not export its memory under the name memory: it is not a workflow; use the SDK: %w", flawless.Refused)
	}
	progress("compiling", 1)
	progress("initialising", 0)
	manifest, err := m.initialise(ctx, isGo(bin))
	if err != nil {
		_ = m.Close(ctx)
		return nil, err
	}
	if kept.Name != "" {
		r.remember(m, manifest, kept)
	}
	m.rewritten.Binary, m.rewritten.Hollow = nil, nil // no longer needed
	if m.base != nil {
		m.rewritten.Data = nil // it is in the image
	}
	progress("initialising", 1)
	return m, nil
}

// compile compiles the rewritten module, and returns the file in which its code is kept, none if Name is "".
func (m *Module) compile(ctx context.Context, bin []byte) (kept cache.Code, err error) {
	if m.tracing != nil {
		ctx = m.tracing.prepare(ctx, bin, m.rewritten)
	} else if m.rt.keepsCode() && m.crate == nil {
		for _, anew := range []bool{false, true} { // code that was kept for another module may be damaged
			if kept, err = m.rt.keepCode(ctx, m.rewritten, anew); err == nil {
				err = m.loadCode(ctx, kept)
			}
			if err == nil {
				return kept, nil
			}
		}
		if ctx.Err() != nil {
			return cache.Code{}, fmt.Errorf("compiling the module: %w", ctx.Err())
		}
	}
	m.compiled, err = m.rt.compile(ctx, m.rewritten.Binary)
	return cache.Code{}, err
}

// exports are the functions that the engine calls. All have type () -> ().
var exports = []export{{"flawless_describe", true}, {"flawless_start", true}, {"flawless_resume", false}, {"flawless_blocked", false}, {"flawless_args", false}, {"_initialize", false}}

type export struct {
	name   string
	needed bool
}

func isExport(name string) bool {
	return slices.ContainsFunc(exports, func(e export) bool { return e.name == name })
}

// check returns flawless.Refused for a module that is no workflow or needs too much memory.
func (r *Runtime) check(m *rewrite.Result, crate bool) error {
	for _, e := range exports {
		switch t, there := m.Exports[e.name]; {
		case !there && e.needed && !crate:
			return fmt.Errorf("the module does not export the function %s: it is not a workflow; use the SDK, and build Go with -buildmode=c-shared: %w", e.name, flawless.Refused)
		case there && t != "()->()":
			return fmt.Errorf("the module exports %s with the type %s, it must be ()->(); use the SDK: %w", e.name, t, flawless.Refused)
		}
	}
	if m.MinPages > r.options.MemoryPages {
		return fmt.Errorf("the module begins with %d pages of memory, and the limit is %d; raise it with --memory-pages: %w", m.MinPages, r.options.MemoryPages, flawless.Refused)
	}
	return nil
}

// initialise makes the base image, asks the module for its manifest, and returns the manifest.
func (m *Module) initialise(ctx context.Context, isGo bool) (manifest []byte, err error) {
	i, err := m.fresh(ctx, [32]byte{})
	if err != nil {
		return nil, err
	}
	defer i.destroy()
	if err := m.describe(i.described); err != nil {
		return nil, err
	}
	b := i.memory.Bytes()
	m.generators = generators(b)
	if len(m.generators) > 0 || !isGo {
		if m.base, err = memory.NewImage(bytes.Clone(b), m.rt.options.copied); err != nil {
			return nil, err
		}
		m.base.Sum = sha256.Sum256(m.base.Bytes)
		m.globals, m.pages, m.timerless = i.readGlobals(), uint32(len(b)>>16), i.timerless
	}
	return i.described, nil
}

// describe sets the manifest.
func (m *Module) describe(manifest []byte) error {
	switch {
	case m.crate != nil:
		m.manifest = m.crate.Manifest()
		return nil
	case manifest == nil:
		return fmt.Errorf("asking the module to describe itself: flawless_describe does not call describe; use the SDK: %w", flawless.Refused)
	case len(manifest) > maxManifest:
		return fmt.Errorf("the module's manifest has %d bytes, at most %d are allowed; make the schemas of its workflows smaller: %w", len(manifest), maxManifest, flawless.Refused)
	}
	if err := json.Unmarshal(manifest, &m.manifest); err != nil {
		return fmt.Errorf("the module's manifest cannot be parsed: %v; use the SDK: %w", err, flawless.Refused)
	}
	return nil
}

// fresh makes an instance without the base image: it is initialised, and describes itself.
func (m *Module) fresh(ctx context.Context, seed [32]byte) (*Instance, error) {
	i, err := m.instantiate(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range m.rewritten.Data {
		if !i.mod.Memory().Write(s.Offset, s.Bytes) {
			i.destroy()
			return nil, fmt.Errorf("the module's data lies outside of its memory: %w", flawless.Refused)
		}
	}
	i.now, i.origin = buildTime, buildTime
	i.random = rand.NewChaCha8(seed)
	i.describing = true
	i.visible = map[int]visible{}
	for _, step := range []struct{ function, doing string }{
		{m.rewritten.Start, "initialising the module"},
		{"_initialize", "initialising the module"},
		{"flawless_describe", "asking the module to describe itself"},
	} {
		f := i.mod.ExportedFunction(step.function)
		if step.function == "" || f == nil {
			continue
		}
		i.begin(ctx)
		if err := i.invoke(f); err != nil {
			err = i.refusal(step.doing, err)
			i.destroy()
			return nil, err
		}
	}
	i.describing = false
	i.out = Out{}
	i.partial = [2][]byte{}
	return i, nil
}

// instantiate makes an instance whose memory is the base image, or empty if base is nil.
func (m *Module) instantiate(ctx context.Context, base *memory.Image) (*Instance, error) {
	i := &Instance{m: m}
	var failed error
	allocate := experimental.MemoryAllocatorFunc(func(_, limit uint64) experimental.LinearMemory {
		i.memory, failed = memory.New(base, min(limit, uint64(m.rt.options.MemoryPages)<<16), m.rt.options.copied)
		if failed != nil {
			panic(&interrupted{failed})
		}
		return linear{i.memory}
	})
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	mod, err := m.instantiateModule(experimental.WithMemoryAllocator(ctx, allocate), config)
	i.mod = mod
	if err != nil {
		i.destroy()
		if failed != nil {
			err = failed
		}
		return nil, err
	}
	for _, name := range m.rewritten.Globals {
		i.globals = append(i.globals, mod.ExportedGlobal(name).(api.MutableGlobal))
	}
	i.units = mod.ExportedGlobal(m.rewritten.Units).(api.MutableGlobal)
	i.depth = mod.ExportedGlobal(m.rewritten.Depth)
	if m.rewritten.Site != "" {
		i.site = mod.ExportedGlobal(m.rewritten.Site)
	}
	i.start = mod.ExportedFunction("flawless_start")
	i.resume = mod.ExportedFunction("flawless_resume")
	if m.crate != nil {
		i.resume, i.alloc = nil, mod.ExportedFunction(wasabi.Alloc)
	}
	i.ctx = &instanceContext{context.Background(), i}
	return i, nil
}

func (m *Module) instantiateModule(ctx context.Context, config wazero.ModuleConfig) (mod api.Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("making an instance: %v", p)
		}
	}()
	if mod, err = m.rt.wazero.InstantiateModule(ctx, m.compiled, config); err != nil {
		return nil, fmt.Errorf("making an instance: %v: %w", err, flawless.Refused)
	}
	if have := m.rewritten.MinPages; m.pages > have {
		if _, grown := mod.Memory().Grow(m.pages - have); !grown {
			return mod, fmt.Errorf("making an instance: the memory does not grow to %d pages", m.pages)
		}
	}
	return mod, nil
}

// linear is memory as wazero allocates it.
type linear struct{ memory.Linear }

func (l linear) Reallocate(size uint64) []byte {
	b, err := l.Grow(size)
	if err != nil { // the guest must not see this: it would go on differently in a replay
		panic(&interrupted{err})
	}
	return b
}

// acquire returns an instance for a run: a reset one that was used before, or a new one.
func (m *Module) acquire(ctx context.Context, s Start) (*Instance, error) {
	if m.base == nil {
		return m.fresh(ctx, derive(s.Seed, "initialize", 0))
	}
	m.mu.Lock()
	var i *Instance
	if n := len(m.free); n > 0 {
		i, m.free = m.free[n-1], m.free[:n-1]
	}
	m.mu.Unlock()
	if i == nil {
		var err error
		if i, err = m.instantiate(ctx, m.base); err != nil {
			return nil, err
		}
	}
	for k, g := range i.globals {
		g.Set(m.globals[k])
	}
	i.timerless = m.timerless
	return i, nil
}

// recycle resets an instance and keeps it for another run, or destroys it. Nothing of the run is left in it.
func (m *Module) recycle(i *Instance) {
	if i.broken || i.stepping != nil || m.base == nil || !i.reset() {
		i.destroy()
		return
	}
	next := &Instance{m: m, mod: i.mod, memory: i.memory, globals: i.globals, units: i.units, depth: i.depth, site: i.site, start: i.start, resume: i.resume, alloc: i.alloc}
	next.ctx = &instanceContext{context.Background(), next}
	m.mu.Lock()
	if !m.closed && len(m.free) < spare {
		m.free = append(m.free, next)
		next = nil
	}
	m.mu.Unlock()
	if next != nil {
		next.destroy()
	}
}

// reset resets the memory to the base image, and reports whether it could.
func (i *Instance) reset() bool {
	grown := len(i.memory.Bytes()) > len(i.m.base.Bytes)
	if !i.memory.Reset() {
		return false
	}
	if grown {
		// wazero learns the size of a memory from what its allocator returns. That is how it learns of the reset.
		i.mod.Memory().Grow(1)
	}
	return int(i.mod.Memory().Size()) == len(i.m.base.Bytes)
}

// destroy releases what an instance holds.
func (i *Instance) destroy() {
	if i.mod != nil {
		_ = i.mod.Close(context.Background())
	}
	if i.memory != nil {
		i.memory.Free()
	}
}

// Trim destroys the unused instances.
func (m *Module) Trim() {
	m.mu.Lock()
	free := m.free
	m.free = nil
	m.mu.Unlock()
	for _, i := range free {
		i.destroy()
	}
}

// Manifest returns what the module says about itself.
func (m *Module) Manifest() flawless.Manifest { return m.manifest }

// Digest returns the SHA-256 of the module's bytes before rewriting, in hexadecimal.
func (m *Module) Digest() string { return m.digest }

// Shared reports whether runs begin with one base image. A Go module in whose image no random generator was found is
// initialised for each run instead, as runs must not share randomness.
func (m *Module) Shared() bool { return m.base != nil }

// Close releases the code and the unused instances. Instances in use stay usable.
func (m *Module) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.Trim()
	if m.base != nil {
		m.base.Close()
	}
	return m.compiled.Close(ctx)
}
