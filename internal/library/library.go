package library

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/value"
)

// MaxModule is the largest module that is taken, in bytes.
const MaxModule = 64 << 20

// Options says what a Library works with.
type Options struct {
	Store   *store.Store
	Lease   store.Lease
	Guest   *guest.Runtime
	Context context.Context // ends with the engine: modules that are being added are given up then
	Now     func() time.Time
	Go      func(f func()) // runs f in a goroutine of the engine
	// Initialising is how long a module may take to initialise and to describe itself when it is added, 0 is 30 s. Its
	// units are limited too, but filling memory takes few of them and much time. It is no limit for modules that were
	// added: those initialise as they did.
	Initialising time.Duration
}

// Library has the modules of a store, compiled while somebody needs them. All methods may be called concurrently.
type Library struct {
	o        Options
	names    names
	adding   chan struct{} // has an item while a module is added
	choosing sync.RWMutex  // held while a module is chosen for a run, so that it is not removed

	mu     sync.Mutex // guards loaded
	loaded map[string]*Module

	keys sync.Map // of []flawless.KeyWindow by digest: what modules say of hosts
}

// New returns a Library that has compiled nothing.
func New(o Options) *Library {
	if o.Initialising == 0 {
		o.Initialising = initialising
	}
	return &Library{o: o, adding: make(chan struct{}, 1), loaded: map[string]*Module{}}
}

// Module is a module that is compiled once, for all who need it.
type Module struct {
	done  chan struct{}
	guest *guest.Module
	kept  bool // by somebody else, who closes it
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

// Preload takes in a module that somebody has compiled, who also closes it.
func (l *Library) Preload(m *guest.Module) {
	one := newModule()
	one.guest, one.kept = m, true
	close(one.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded[m.Digest()] = one
}

// Close gives back what is compiled.
func (l *Library) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.loaded {
		m.close()
	}
}

// Trim gives back the instances that are kept ready.
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

// Count returns how many modules are compiled, or being so.
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

// Busy tells whether a module is being chosen, kept or removed at this moment. It is for tests.
func (l *Library) Busy() bool {
	if l.choosing.TryLock() {
		l.choosing.Unlock()
		return false
	}
	return true
}

// Load returns the compiled module of a digest, from the store.
func (l *Library) Load(ctx context.Context, digest string) (*Module, error) {
	m := l.load(ctx, digest, func() ([]byte, error) { return l.o.Store.Binary(ctx, digest) }, nil)
	return m, m.err
}

// Add checks, compiles and keeps a module; without a name it takes the one that the module says of itself. The same bytes
// as the newest version change nothing and return false. lost tells whether the store did not have the bytes before, or
// could not read them. Progress is called with what is being done and how much of it, 0 to 1; it may be nil. A crash in
// the middle leaves the module added whole or not at all.
func (l *Library) Add(ctx context.Context, name string, bin []byte, progress func(stage string, done float64)) (m flawless.Module, added, lost bool, err error) {
	digest := digestOf(bin)
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
	m = flawless.Module{Name: name, Digest: digest, Size: int64(len(bin)), Added: l.o.Now(), Manifest: one.guest.Manifest(), Initialised: flawless.Once}
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
	l.names.forget()
	if err == nil && progress != nil {
		progress("storing", 1)
	}
	return m, added, was != nil, err
}

// keep keeps a module. Its bytes may be there under another name, which nobody removes meanwhile.
func (l *Library) keep(ctx context.Context, m flawless.Module, bin []byte) (flawless.Module, bool, error) {
	defer l.Choose()()
	return l.o.Store.AddModule(ctx, l.o.Lease, m, bin)
}

// Adopt compiles and keeps the bytes of a module without a name, for a run that came from elsewhere. Until done is called
// they are not removed, though no run needs them yet.
func (l *Library) Adopt(ctx context.Context, digest string, bin []byte) (done func(), err error) {
	_, finish, err := l.newcomer(ctx, digest, bin, nil) // before Choose: it may take a while
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

func digestOf(bin []byte) string {
	sum := sha256.Sum256(bin)
	return hex.EncodeToString(sum[:])
}

// Wanted is code that a run is to be started with. Code that is told by its digest needs no name: a fork may go on with a
// file that was never added, and so do its children.
type Wanted struct{ Module, Version, Digest, Workflow string }

// Find returns the version of a module that is wanted, and its code. It returns flawless.NotFound where there is no such
// module, version or workflow.
func (l *Library) Find(ctx context.Context, w Wanted) (m flawless.Module, code *Module, err error) {
	if w.Digest == "" {
		if m, err = l.Named(ctx, w.Module, w.Version); err != nil {
			return m, nil, err
		}
		if err = hasWorkflow(m, w.Workflow); err != nil {
			return m, nil, err
		}
		code, err = l.Load(ctx, m.Digest)
		return m, code, Unreadable(m.Name, m.Digest, err)
	}
	if code, err = l.Load(ctx, w.Digest); err != nil {
		return m, nil, Unreadable(w.Module, w.Digest, err)
	}
	m = flawless.Module{Name: w.Module, Digest: w.Digest, Manifest: code.guest.Manifest()}
	return m, code, hasWorkflow(m, w.Workflow)
}

// Has tells whether a module was added under a name. The code of a run need not be: it may have come with a fork or an
// import.
func (l *Library) Has(ctx context.Context, name string) bool {
	_, err := l.names.newest(ctx, name, l.o.Store.Module)
	return !errors.Is(err, flawless.NotFound)
}

// hasWorkflow returns flawless.NotFound where a module has no workflow of that name.
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

// Named returns the version of a module that its author, or the store, calls so; "" is the newest.
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
	if said := all[0].Manifest.Version; said != "" {
		newest = said
	}
	return flawless.Module{}, fmt.Errorf("module %s has no version %q; the newest is %s: %w", name, version, newest, flawless.NotFound)
}

// Borrow returns a compiled module until done is called: the one of the digest, or that of bin.
func (l *Library) Borrow(ctx context.Context, digest string, bin []byte) (m *guest.Module, done func(), err error) {
	if bin == nil {
		one, err := l.Load(ctx, digest)
		return one.guest, func() {}, err
	}
	if len(bin) > MaxModule {
		return nil, nil, fmt.Errorf("the module has %d bytes, but at most %d are allowed: %w", len(bin), MaxModule, flawless.TooLarge)
	}
	l.mu.Lock()
	one := l.loaded[digestOf(bin)]
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

// Remove removes a version of a module, or with version 0 all of them, and returns them. unused is asked before, while no
// run begins with one of them or is moved to it; its error is returned, and nothing is removed.
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
	if err := unused(ctx, versions); err != nil {
		return nil, err
	}
	for i, m := range versions {
		if err := l.o.Store.RemoveModule(ctx, l.o.Lease, name, m.Version); err != nil {
			return versions[:i], err
		}
		l.names.forget()
		l.unload(ctx, m.Digest)
	}
	return versions, nil
}

// Tidy removes the compiled code of modules that no open run needs and that are not the newest of their name, and returns
// how many bytes that were. users returns the open runs by the digest that they need. A run that begins with such a module
// at this moment compiles it again.
func (l *Library) Tidy(ctx context.Context, users func(ctx context.Context) (map[string][]string, error)) (freed int64, err error) {
	select {
	case l.adding <- struct{}{}: // the code of a module that is being added is kept before the store has it
		defer func() { <-l.adding }()
	default:
		return 0, nil // the next time
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

// ReadsInput returns nil where a module takes the input of a workflow, or has no such workflow.
func ReadsInput(m *guest.Module, workflow string, input []byte) error {
	said := flawless.Module{Manifest: m.Manifest()}
	w := said.Workflow(workflow)
	if w == nil {
		return nil // there are better errors for that
	}
	return newModule().CheckInput(*w, input)
}

// newcomer loads a module that is about to be added. Modules are added one at a time, so that those of
// runs never wait behind more than one of unknown size. Done is called afterwards, and told whether
// the module was kept in the store: one that was not takes no memory either.
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
		}
		done(false)
		return nil, nil, err
	}
	return m, done, nil
}

const initialising = 30 * time.Second

var errLate = fmt.Errorf("the module was still initialising after %v: do less before main returns, and avoid slow package initialisation", initialising)

// unload gives back what a module takes in memory, unless the store has it.
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

// load loads a module once for all who need it at the time. The first of them does it; where its
// ctx ends, another one begins anew.
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

// isEnd reports whether an error is that of a context.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// compiling is what loading a module takes at least when its code was not kept. It leaves behind more
// than a hundred MiB, which would stay with the process for minutes.
const compiling = time.Second

// schema returns the compiled schema of a workflow's input, nil where it has none.
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

// CheckInput returns nil where the input fits the workflow.
func (m *Module) CheckInput(w flawless.Workflow, input []byte) error {
	s, err := m.schema(w)
	if err != nil {
		return err
	}
	return value.Check(s, input, "the input does not match workflow "+w.Name)
}

// Unreadable says what to do where the bytes of a module cannot be read.
func Unreadable(name, digest string, err error) error {
	if !errors.Is(err, flawless.Damaged) && !errors.Is(err, flawless.NotFound) {
		return err
	}
	return fmt.Errorf("module %s cannot be read: %v: add the file with SHA-256 %s again (flawless module add %s FILE): %w",
		name, err, digest, name, flawless.Conflict)
}

// check returns nil where a module may say this of itself, or the reason why not.
func (m *Module) check(said flawless.Manifest) error {
	if len(said.Workflows) == 0 {
		return fmt.Errorf("it has no workflow; register one in main with flawless.Workflow: %w", flawless.Refused)
	}
	if err := checkKeys(said.Keys); err != nil {
		return fmt.Errorf("its manifest: %v: %w", err, flawless.Refused)
	}
	if said.Version != "" {
		if err := flawless.CheckKey("its version", said.Version); err != nil {
			return fmt.Errorf("its manifest: %v: %w", err, flawless.Refused)
		}
	}
	seen := map[string]bool{}
	for _, w := range said.Workflows {
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

// Keys returns what a version of a module says of hosts. Where that cannot be read it says nothing: then
// no call is repeated because of it.
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

// checkKeys returns nil where a module may say this of hosts, or the reason why not.
func checkKeys(keys []flawless.KeyWindow) error {
	hosts := map[string]bool{}
	for _, k := range keys {
		if err := k.Check(); err != nil {
			return err
		}
		if hosts[k.Host] {
			return fmt.Errorf("it declares twice how long host %s honours a key", k.Host)
		}
		hosts[k.Host] = true
	}
	return nil
}
