package library

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/source"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/value"
)

// MaxModule is the maximum size of a module in bytes.
const MaxModule = 64 << 20

// Options configures a Library.
type Options struct {
	Store   *store.Store
	Lease   *store.Lease
	Shared  bool // other servers may add and remove modules
	Guest   *guest.Runtime
	Context context.Context // ends with the engine and cancels modules that are being added
	Now     func() time.Time
	Go      func(f func()) // runs f in a goroutine of the engine
	// Initialising is the time limit for a new module to initialise and describe itself; 0 is 30 s. It also has a
	// limit of compute units, but filling memory takes few units and much time. Modules that are already stored have
	// no such limit.
	Initialising time.Duration
}

// Library loads and stores modules, and keeps their compiled code while it is needed. All methods may be called
// concurrently.
type Library struct {
	o        Options
	names    names
	adding   chan struct{} // has an item while a module is being added
	choosing sync.RWMutex  // held while a module is chosen for a run, so that it is not removed

	mu     sync.Mutex // guards loaded
	loaded map[string]*Module

	keys sync.Map // []flawless.KeyWindow by digest: declared by modules

	reading sync.Mutex // held while the catalog is read
	catalog atomic.Pointer[store.Catalog]
	present sync.Map // *store.Catalog by digest: in which the store has the bytes
	marks   sync.Map // ids of the marks in use
}

// New returns an empty Library.
func New(o Options) *Library {
	if o.Initialising == 0 {
		o.Initialising = initialising
	}
	return &Library{o: o, adding: make(chan struct{}, 1), loaded: map[string]*Module{}}
}

// Module is a compiled module, shared by its users.
type Module struct {
	done  chan struct{}
	guest *guest.Module
	kept  bool // compiled and closed by the caller of Preload
	err   error

	mu      sync.Mutex
	schemas map[string]*value.Schema // by workflow
}

func newModule() *Module {
	return &Module{done: make(chan struct{}), schemas: map[string]*value.Schema{}}
}

// Guest returns the compiled module.
func (m *Module) Guest() *guest.Module { return m.guest }

func (m *Module) close() {
	<-m.done
	if m.guest != nil && !m.kept {
		_ = m.guest.Close(context.Background())
	}
}

// Preload adds a compiled module, which the caller closes.
func (l *Library) Preload(m *guest.Module) {
	one := newModule()
	one.guest, one.kept = m, true
	close(one.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded[m.Digest()] = one
}

// Close releases all compiled modules. It waits for those that are being compiled, without the lock: one that cannot be
// compiled takes itself out of the list first.
func (l *Library) Close() {
	l.mu.Lock()
	all := slices.Collect(maps.Values(l.loaded))
	clear(l.loaded)
	l.mu.Unlock()
	for _, m := range all {
		m.close()
	}
}

// Trim releases idle instances.
func (l *Library) Trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.loaded {
		select {
		case <-m.done:
			if m.guest != nil {
				m.guest.Trim()
			}
		default:
		}
	}
}

// Count returns the number of modules that are compiled or being compiled.
func (l *Library) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.loaded)
}

// Choose keeps modules from being removed until done is called, so that one can be chosen for a run.
func (l *Library) Choose() (done func()) {
	l.choosing.RLock()
	return l.choosing.RUnlock
}

// Busy reports whether a module is being chosen, stored or removed. It is for tests.
func (l *Library) Busy() bool {
	if l.choosing.TryLock() {
		l.choosing.Unlock()
		return false
	}
	return true
}

// Load returns the module with a digest, compiling it from the store if needed.
func (l *Library) Load(ctx context.Context, digest string) (*Module, error) {
	m := l.load(ctx, digest, func() ([]byte, error) { return l.o.Store.Binary(ctx, digest) }, nil)
	return m, m.err
}

// Add validates, compiles and stores a module. Without a name it uses the name in the module's manifest. If the bytes
// equal the newest version, nothing changes and the result is false. lost reports whether the store did not have the
// bytes before or could not read them. progress, if not nil, is called with the current step and its completion from 0
// to 1. After a crash the module is stored completely or not at all.
func (l *Library) Add(ctx context.Context, name string, bin []byte, progress func(stage string, done float64)) (m flawless.Module, added, lost bool, err error) {
	digest := guest.Digest(bin)
	one, done, err := l.newcomer(ctx, digest, bin, progress)
	if err != nil {
		return m, false, false, fmt.Errorf("adding module %q: %w", name, err)
	}
	kept := false
	defer func() { done(kept) }()
	if name == "" {
		if name = one.guest.Manifest().Name; flawless.CheckName("a name", name) != nil {
			return m, false, false, fmt.Errorf("adding a module: it declares the name %q, which is not valid; declare one with flawless::module! { name = \"…\", version = \"…\" }, or add it under a name: %w", name, flawless.Refused)
		}
	}
	m = flawless.Module{Name: name, Digest: digest, Size: int64(len(bin)), Added: l.o.Now(), Manifest: one.guest.Manifest(), Initialised: flawless.Once, Sources: len(source.Read(bin))}
	if !one.guest.Shared() {
		m.Initialised = flawless.PerRun
	}
	if err := one.check(m.Manifest); err != nil {
		return m, false, false, fmt.Errorf("adding module %q: %w", name, err)
	}
	if progress != nil {
		progress("storing", 0)
	}
	_, was := l.o.Store.Binary(ctx, digest)
	m, added, err = l.keep(ctx, m, bin)
	kept = err == nil
	l.forget(ctx)
	if err == nil && progress != nil {
		progress("storing", 1)
	}
	return m, added, was != nil, err
}

// keep stores a module. The bytes may be stored under another name, which keeps them from being removed in the
// meantime.
func (l *Library) keep(ctx context.Context, m flawless.Module, bin []byte) (flawless.Module, bool, error) {
	defer l.Choose()()
	return l.o.Store.AddModule(ctx, l.o.Lease, m, bin)
}

// Adopt compiles and stores the bytes of an unnamed module, for a run that comes from elsewhere. Until done is called
// they are not removed, although no run needs them yet.
func (l *Library) Adopt(ctx context.Context, digest string, bin []byte) (done func(), err error) {
	_, finish, err := l.newcomer(ctx, digest, bin, nil) // before Choose, because it may take a while
	if err != nil {
		return nil, err
	}
	chosen := l.Choose()
	if err := l.o.Store.KeepBinary(ctx, l.o.Lease, digest, bin); err != nil {
		chosen()
		finish(false)
		return nil, err
	}
	return func() {
		chosen()
		finish(true)
	}, nil
}

// Selector describes the code for a new run. With a digest the name may be empty: a fork may use a file that was never
// added, and so may its children.
type Selector struct{ Module, Version, Digest, Workflow string }

// Find returns the wanted version of a module and its code. It returns flawless.NotFound if there is no such module,
// version or workflow. The write that accepts the run must expect the catalog, which is nil if this server is alone.
func (l *Library) Find(ctx context.Context, w Selector) (m flawless.Module, code *Module, c *store.Catalog, err error) {
	if w.Digest != "" {
		if c, err = l.Rely(ctx, w.Digest); err == nil {
			code, err = l.Load(ctx, w.Digest)
		}
		if err != nil {
			return m, nil, nil, Unreadable(w.Module, w.Digest, err)
		}
		m = flawless.Module{Name: w.Module, Digest: w.Digest, Manifest: code.guest.Manifest()}
		return m, code, c, hasWorkflow(m, w.Workflow)
	}
	if c, err = l.known(ctx); err != nil {
		return m, nil, nil, err
	}
	for {
		if m, err = l.Named(ctx, w.Module, w.Version); err != nil {
			again, failed := l.renewed(ctx, c)
			if failed != nil || again == nil {
				return m, nil, nil, cmp.Or(failed, err)
			}
			c = again // it may have been added since
			continue
		}
		later, err := l.settled(ctx, c, m.Digest)
		if err != nil {
			return m, nil, nil, err
		}
		if later == nil {
			break
		}
		c = later
	}
	if err = hasWorkflow(m, w.Workflow); err == nil {
		code, err = l.Load(ctx, m.Digest)
		err = Unreadable(m.Name, m.Digest, err)
	}
	if err == nil {
		return m, code, c, nil
	}
	if again, failed := l.renewed(ctx, c); failed == nil && again != nil { // there may be another version by now
		return l.Find(ctx, w)
	}
	return m, nil, nil, err
}

// renewed returns the catalog as it is now, or nil if that is still c.
func (l *Library) renewed(ctx context.Context, c *store.Catalog) (*store.Catalog, error) {
	if c == nil {
		return nil, nil
	}
	now, err := l.reread(ctx, c)
	if err != nil || now.Same(c) {
		return nil, err
	}
	return now, nil
}

// Has reports whether a module with this name was added. The code of a run may have come with a fork or an import
// instead.
func (l *Library) Has(ctx context.Context, name string) bool {
	_, err := l.names.newest(ctx, name, l.o.Store.Module)
	return !errors.Is(err, flawless.NotFound)
}

// hasWorkflow returns flawless.NotFound if a module has no workflow of that name.
func hasWorkflow(m flawless.Module, name string) error {
	if m.Workflow(name) != nil {
		return nil
	}
	var names []string
	for _, w := range m.Manifest.Workflows {
		names = append(names, w.Name)
	}
	slices.Sort(names)
	return fmt.Errorf("module %s has no workflow %q; it has %s: %w", m.Name, name, strings.Join(names, ", "), flawless.NotFound)
}

// Named returns the version of a module with the author's or the store's version name; "" is the newest.
func (l *Library) Named(ctx context.Context, name, version string) (flawless.Module, error) {
	if version == "" {
		return l.names.newest(ctx, name, l.o.Store.Module)
	}
	all, err := l.o.Store.Module(ctx, name)
	if err != nil {
		return flawless.Module{}, err
	}
	for _, m := range all {
		if m.Manifest.Version == version {
			return m, nil
		}
	}
	for _, m := range all {
		if strconv.Itoa(m.Version) == version {
			return m, nil
		}
	}
	newest := strconv.Itoa(all[0].Version)
	if version := all[0].Manifest.Version; version != "" {
		newest = version
	}
	return flawless.Module{}, fmt.Errorf("module %s has no version %q; the newest is %s: %w", name, version, newest, flawless.NotFound)
}

// Borrow returns a compiled module until done is called: the one with the digest, or the one in bin.
func (l *Library) Borrow(ctx context.Context, digest string, bin []byte) (m *guest.Module, done func(), err error) {
	if bin == nil {
		one, err := l.Load(ctx, digest)
		return one.guest, func() {}, err
	}
	if len(bin) > MaxModule {
		return nil, nil, fmt.Errorf("the module has %d bytes, but at most %d are allowed: %w", len(bin), MaxModule, flawless.TooLarge)
	}
	l.mu.Lock()
	one := l.loaded[guest.Digest(bin)]
	l.mu.Unlock()
	if one != nil {
		select {
		case <-one.done:
			return one.guest, func() {}, one.err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if m, err = l.o.Guest.Load(ctx, bin, nil); err != nil {
		return nil, nil, err
	}
	return m, func() { _ = m.Close(context.WithoutCancel(ctx)) }, nil
}

// Remove removes a version of a module, or all of them if version is 0, and returns them. It calls unused first, while
// no run can start with or move to the versions. If that returns an error, nothing is removed. It returns
// flawless.Conflict if another request removes one of the versions, or moves runs to it.
func (l *Library) Remove(ctx context.Context, name string, version int, unused func(ctx context.Context, versions []flawless.Module) error) ([]flawless.Module, error) {
	l.choosing.Lock()
	defer l.choosing.Unlock()
	versions, err := l.o.Store.Module(ctx, name)
	if err != nil {
		return nil, err
	}
	if version != 0 {
		versions = slices.DeleteFunc(versions, func(m flawless.Module) bool { return m.Version != version })
		if len(versions) == 0 {
			return nil, fmt.Errorf("module %s has no version %d: %w", name, version, flawless.NotFound)
		}
	}
	var mark *store.Mark
	if l.o.Shared {
		var digests []string
		for _, m := range versions {
			digests = append(digests, m.Digest)
		}
		m, done, err := l.mark(ctx, digests, true)
		if err != nil {
			return nil, fmt.Errorf("removing module %s: %w", name, err)
		}
		mark = &m
		defer l.forget(ctx)
		defer done()
	}
	if err := unused(ctx, versions); err != nil {
		return nil, err
	}
	for i, m := range versions {
		if err := l.o.Store.RemoveModule(ctx, l.o.Lease, name, m.Version, mark); err != nil {
			return versions[:i], err
		}
		l.names.forget()
		l.unload(ctx, m.Digest)
	}
	return versions, nil
}

// forget makes later choices read which modules there are.
func (l *Library) forget(ctx context.Context) {
	l.names.forget()
	if c := l.catalog.Load(); c != nil {
		_, _ = l.reread(ctx, c) // if it fails, the next start finds out
	}
}

// Tidy removes the compiled code of modules that no open run needs and that are not the newest of their name. It
// returns the number of bytes removed. users yields the digests that open runs need. A run that starts with such a
// module in the meantime compiles it again.
func (l *Library) Tidy(ctx context.Context, users func(ctx context.Context) (map[string][]string, error)) (freed int64, err error) {
	select {
	case l.adding <- struct{}{}: // compiled code is kept before the store has the module
		defer func() { <-l.adding }()
	default:
		return 0, nil // next time
	}
	newest, err := l.o.Store.Modules(ctx)
	if err != nil {
		return 0, err
	}
	needed := map[string]bool{}
	for _, m := range newest {
		needed[m.Digest] = true
	}
	if slices.ContainsFunc(l.o.Guest.Kept(), func(digest string) bool { return !needed[digest] }) {
		all, err := users(ctx)
		if err != nil {
			return 0, err
		}
		for digest := range all {
			needed[digest] = true
		}
	}
	return l.o.Guest.RemoveCode(func(digest string) bool { return needed[digest] }), nil
}

// AcceptsInput returns nil if the module accepts the input for a workflow, or has no such workflow.
func AcceptsInput(m *guest.Module, workflow string, input []byte) error {
	declared := flawless.Module{Manifest: m.Manifest()}
	w := declared.Workflow(workflow)
	if w == nil {
		return nil // other checks have better errors for that
	}
	return newModule().CheckInput(*w, input)
}

// newcomer loads a module that is about to be added. Modules are added one at a time, so that modules that runs need
// wait for at most one of unknown size. Call done afterwards with whether the module was stored; otherwise its memory
// is released.
func (l *Library) newcomer(ctx context.Context, digest string, bin []byte, progress func(string, float64)) (m *Module, done func(kept bool), err error) {
	select {
	case l.adding <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("waiting for other modules to be added: %w", ctx.Err())
	}
	done = func(kept bool) {
		if !kept {
			l.unload(context.WithoutCancel(ctx), digest)
		}
		<-l.adding
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(l.o.Context, func() { stop(nil) })()
	late := time.AfterFunc(math.MaxInt64, func() { stop(errLate) })
	defer late.Stop()
	m = l.load(ctx, digest, func() ([]byte, error) { return bin, nil }, func(stage string, part float64) {
		if late.Stop(); stage == "initialising" && part == 0 {
			late.Reset(l.o.Initialising)
		}
		if progress != nil {
			progress(stage, part)
		}
	})
	if m.err != nil {
		err := m.err
		if isEnd(err) && context.Cause(ctx) == errLate {
			err = fmt.Errorf("%w: %w", errLate, flawless.Refused)
		} else if isEnd(err) && l.o.Context.Err() != nil {
			err = fmt.Errorf("the server has stopped meanwhile; add it again when it is up: %w", flawless.Stopping)
		}
		done(false)
		return nil, nil, err
	}
	return m, done, nil
}

const initialising = 30 * time.Second

var errLate = fmt.Errorf("the module was still initialising after %v: do less before main returns, and avoid slow package initialisation", initialising)

// unload releases the memory of a module that the store does not have.
func (l *Library) unload(ctx context.Context, digest string) {
	if _, err := l.o.Store.Binary(ctx, digest); !errors.Is(err, flawless.NotFound) {
		return
	}
	l.mu.Lock()
	m := l.loaded[digest]
	if m != nil && m.kept {
		m = nil
	}
	if m != nil {
		delete(l.loaded, digest)
	}
	l.mu.Unlock()
	if m != nil {
		m.close()
	}
}

// load loads a module once for all concurrent callers. If the ctx of the caller that loads it ends, another caller
// starts over.
func (l *Library) load(ctx context.Context, digest string, bin func() ([]byte, error), progress func(string, float64)) *Module {
	l.mu.Lock()
	m := l.loaded[digest]
	if m != nil {
		l.mu.Unlock()
		select {
		case <-m.done:
			if isEnd(m.err) && ctx.Err() == nil {
				return l.load(ctx, digest, bin, progress)
			}
			return m
		case <-ctx.Done():
			return &Module{err: ctx.Err()}
		}
	}
	m = newModule()
	l.loaded[digest] = m
	l.mu.Unlock()
	began := time.Now()
	if m.guest, m.err = l.o.Guest.Reload(ctx, digest, bin, progress); m.err != nil {
		l.mu.Lock()
		delete(l.loaded, digest)
		l.mu.Unlock()
	}
	close(m.done)
	if time.Since(began) > compiling {
		l.o.Go(debug.FreeOSMemory)
	}
	return m
}

// isEnd reports whether an error comes from a context.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// compiling is a load time that suggests that the code had to be compiled. Compiling leaves more than a hundred MiB of
// garbage, which the process would otherwise keep for minutes.
const compiling = time.Second

// schema returns the compiled schema of a workflow's input, or nil.
func (m *Module) schema(w flawless.Workflow) (*value.Schema, error) {
	if len(w.Input) == 0 {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.schemas[w.Name]; s != nil {
		return s, nil
	}
	s, err := value.Compile(w.Input)
	switch {
	case errors.Is(err, value.ErrFanOut):
		return nil, fmt.Errorf("the input schema of workflow %q in the manifest cannot be used: %v: %w", w.Name, err, flawless.Refused)
	case err != nil:
		return nil, fmt.Errorf("the input schema of workflow %q in the manifest is not a JSON Schema: %v: %w", w.Name, err, flawless.Refused)
	}
	m.schemas[w.Name] = s
	return s, nil
}

// CheckInput returns nil if the input matches the workflow's schema.
func (m *Module) CheckInput(w flawless.Workflow, input []byte) error {
	s, err := m.schema(w)
	if err != nil {
		return err
	}
	return value.Check(s, input, "the input does not match workflow "+w.Name)
}

// Unreadable returns the error for a module whose bytes cannot be read, with what to do.
func Unreadable(name, digest string, err error) error {
	if !errors.Is(err, flawless.Damaged) && !errors.Is(err, flawless.NotFound) {
		return err
	}
	return fmt.Errorf("module %s cannot be read: %v: add the file with SHA-256 %s again (flawless module add %s FILE): %w",
		name, err, digest, name, flawless.Conflict)
}

// check returns an error if the manifest of a module is not acceptable.
func (m *Module) check(manifest flawless.Manifest) error {
	if len(manifest.Workflows) == 0 {
		return fmt.Errorf("it has no workflow; register one in main with flawless.Workflow: %w", flawless.Refused)
	}
	if err := checkKeys(manifest.Keys); err != nil {
		return fmt.Errorf("its manifest: %v: %w", err, flawless.Refused)
	}
	if manifest.Version != "" {
		if err := flawless.CheckKey("its version", manifest.Version); err != nil {
			return fmt.Errorf("its manifest: %v: %w", err, flawless.Refused)
		}
	}
	seen := map[string]bool{}
	for _, w := range manifest.Workflows {
		if err := flawless.CheckWorkflowName(w.Name); err != nil {
			return fmt.Errorf("its manifest: %v: %w", err, flawless.Refused)
		}
		if seen[w.Name] {
			return fmt.Errorf("its manifest has the workflow %q twice: %w", w.Name, flawless.Refused)
		}
		seen[w.Name] = true
		if _, err := m.schema(w); err != nil {
			return err
		}
	}
	return nil
}

// Keys returns the key windows that a version of a module declares. It returns none if the manifest cannot be read, so
// that no call is repeated because of it.
func (l *Library) Keys(module, digest string) []flawless.KeyWindow {
	if keys, known := l.keys.Load(digest); known {
		return keys.([]flawless.KeyWindow)
	}
	versions, err := l.o.Store.Module(l.o.Context, module)
	at := slices.IndexFunc(versions, func(m flawless.Module) bool { return m.Digest == digest })
	if err != nil || at < 0 {
		return nil
	}
	keys := versions[at].Manifest.Keys
	l.keys.Store(digest, keys)
	return keys
}

// checkKeys returns an error if the declared key windows are not acceptable.
func checkKeys(keys []flawless.KeyWindow) error {
	hosts := map[string]bool{}
	for _, k := range keys {
		if err := k.Check(); err != nil {
			return err
		}
		if hosts[k.Host] {
			return fmt.Errorf("it declares the key window of host %s twice", k.Host)
		}
		hosts[k.Host] = true
	}
	return nil
}
