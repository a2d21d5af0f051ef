package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/value"
)

// MaxModule is the largest module that is taken, in bytes.
const MaxModule = 64 << 20

// loading is a module that is compiled once, for all who need it.
type loading struct {
	done   chan struct{}
	module *guest.Module
	kept   bool // by somebody else, who closes it
	err    error

	mu      sync.Mutex
	schemas map[string]*value.Schema // by workflow
}

func (l *loading) close() {
	<-l.done
	if l.module != nil && !l.kept {
		_ = l.module.Close(context.Background())
	}
}

// AddModule checks, compiles and keeps a module; without a name it takes the one that the module says
// of itself. New runs take it from then on; runs that are open
// stay on theirs. The same bytes as the newest version change nothing and return false. Progress is
// called with what is being done and how much of it, 0 to 1; it may be nil. A crash in the middle
// leaves the module added whole or not at all.
func (e *Engine) AddModule(ctx context.Context, name string, bin []byte, progress func(stage string, done float64)) (flawless.Module, bool, error) {
	if name != "" {
		if err := flawless.CheckName("a module's name", name); err != nil {
			return flawless.Module{}, false, fmt.Errorf("adding module %.200q: %w", name, err)
		}
	}
	if len(bin) > MaxModule {
		return flawless.Module{}, false, fmt.Errorf("adding module %q: it has %d bytes, at most %d are taken; build with -ldflags=-s -w or leave packages out: %w", name, len(bin), MaxModule, flawless.TooLarge)
	}
	if err := e.accepts(); err != nil {
		return flawless.Module{}, false, err
	}
	sum := sha256.Sum256(bin)
	digest := hex.EncodeToString(sum[:])
	l, done, err := e.newcomer(ctx, digest, bin, progress)
	if err != nil {
		return flawless.Module{}, false, fmt.Errorf("adding module %q: %w", name, err)
	}
	kept := false
	defer func() { done(kept) }()
	if name == "" {
		if name = l.module.Manifest().Name; flawless.CheckName("a name", name) != nil {
			return flawless.Module{}, false, fmt.Errorf("adding a module: it calls itself %q, which is no name for one; say flawless::module! { name = \"…\", version = \"…\" } in it, or add it under a name: %w", name, flawless.Refused)
		}
	}
	m := flawless.Module{Name: name, Digest: digest, Size: int64(len(bin)), Added: time.Unix(0, e.now()), Manifest: l.module.Manifest(), Initialised: flawless.Once}
	if !l.module.Shared() {
		m.Initialised = flawless.PerRun
	}
	if err := checkManifest(m.Manifest, l); err != nil {
		return flawless.Module{}, false, fmt.Errorf("adding module %q: %w", name, err)
	}
	if progress != nil {
		progress("storing", 0)
	}
	_, lost := e.store.Binary(ctx, digest)
	m, added, err := e.keepModule(ctx, m, bin)
	kept = err == nil
	e.names.forget()
	if err == nil && lost != nil {
		e.mended(ctx, m)
	}
	if err == nil && progress != nil {
		progress("storing", 1)
	}
	return m, added, err
}

// keepModule keeps a module. Its bytes may be there under another name, which nobody removes meanwhile.
func (e *Engine) keepModule(ctx context.Context, m flawless.Module, bin []byte) (flawless.Module, bool, error) {
	e.choosing.RLock()
	defer e.choosing.RUnlock()
	return e.store.AddModule(ctx, e.lease, m, bin)
}

// mended sets the runs going again that were set aside because their module could not be read.
func (e *Engine) mended(ctx context.Context, m flawless.Module) {
	for f := (flawless.Filter{Module: m.Name, Status: []flawless.Status{flawless.Unresolved}, Limit: 1000}); ; {
		page, next, err := e.store.Runs(ctx, f)
		if err != nil {
			e.log.Error("looking for runs that can go on with a module", "module", m.Name, "error", err)
			return
		}
		for _, run := range page {
			if run.Digest != m.Digest || run.Problem == "" {
				continue
			}
			r, err := e.seize(ctx, run.ID)
			if err != nil {
				continue // it is still set aside, for another reason
			}
			r.mu.Lock()
			r.problem = ""
			r.mu.Unlock()
			e.letGo(r)
		}
		if f.Cursor = next; next == "" {
			return
		}
	}
}

// unreadable says what to do where the bytes of a module cannot be read.
func unreadable(name, digest string, err error) error {
	if !errors.Is(err, flawless.Damaged) && !errors.Is(err, flawless.NotFound) {
		return err
	}
	return fmt.Errorf("module %s cannot be read: %v: add the file with SHA-256 %s again (flawless module add %s FILE): %w",
		name, err, digest, name, flawless.Conflict)
}

func checkManifest(m flawless.Manifest, l *loading) error {
	if len(m.Workflows) == 0 {
		return fmt.Errorf("it has no workflow; register one in main with flawless.Workflow: %w", flawless.Refused)
	}
	if err := checkKeys(m.Keys); err != nil {
		return fmt.Errorf("its manifest: %v: %w", err, flawless.Refused)
	}
	seen := map[string]bool{}
	for _, w := range m.Workflows {
		if err := flawless.CheckWorkflowName(w.Name); err != nil {
			return fmt.Errorf("its manifest: %v: %w", err, flawless.Refused)
		}
		if seen[w.Name] {
			return fmt.Errorf("its manifest has the workflow %q twice: %w", w.Name, flawless.Refused)
		}
		seen[w.Name] = true
		if _, err := l.schema(w); err != nil {
			return err
		}
	}
	return nil
}

// Modules returns the newest version of each module, by name.
func (e *Engine) Modules(ctx context.Context) ([]flawless.Module, error) { return e.store.Modules(ctx) }

// Module returns all versions of a module, newest first, or flawless.NotFound.
func (e *Engine) Module(ctx context.Context, name string) ([]flawless.Module, error) {
	return e.store.Module(ctx, name)
}

// module returns the compiled module of a digest.
func (e *Engine) module(ctx context.Context, digest string) (*loading, error) {
	l := e.loadModule(ctx, digest, func() ([]byte, error) { return e.store.Binary(ctx, digest) }, nil)
	return l, l.err
}

// newcomer loads a module that is about to be added. Modules are added one at a time, so that those of
// runs never wait behind more than one of unknown size. Done is called afterwards, and told whether
// the module was kept in the store: one that was not takes no memory either.
func (e *Engine) newcomer(ctx context.Context, digest string, bin []byte, progress func(string, float64)) (l *loading, done func(kept bool), err error) {
	select {
	case e.adding <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("waiting for other modules to be added: %w", ctx.Err())
	}
	done = func(kept bool) {
		if !kept {
			e.unload(context.WithoutCancel(ctx), digest)
		}
		<-e.adding
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(e.ctx, func() { stop(nil) })()
	late := time.AfterFunc(math.MaxInt64, func() { stop(errLate) })
	defer late.Stop()
	l = e.loadModule(ctx, digest, func() ([]byte, error) { return bin, nil }, func(stage string, part float64) {
		if late.Stop(); stage == "initialising" && part == 0 {
			late.Reset(e.initialising)
		}
		if progress != nil {
			progress(stage, part)
		}
	})
	if l.err != nil {
		err := l.err
		if isEnd(err) && context.Cause(ctx) == errLate {
			err = fmt.Errorf("%w: %w", errLate, flawless.Refused)
		}
		done(false)
		return nil, nil, err
	}
	return l, done, nil
}

// initialising is how long a module may take to initialise and to describe itself when it is added. Its
// units are limited too, but filling memory takes few of them and much time. It is no limit for modules that
// were added: those initialise as they did.
const initialising = 30 * time.Second

var errLate = fmt.Errorf("the module was still initialising itself after %v: do less before main returns, and nothing that takes long in package initialisation", initialising)

// unload gives back what a module takes in memory, unless the store has it.
func (e *Engine) unload(ctx context.Context, digest string) {
	if _, err := e.store.Binary(ctx, digest); !errors.Is(err, flawless.NotFound) {
		return
	}
	e.mu.Lock()
	l := e.modules[digest]
	if l != nil && l.kept {
		l = nil
	}
	if l != nil {
		delete(e.modules, digest)
	}
	e.mu.Unlock()
	if l != nil {
		l.close()
	}
}

// loadModule loads a module once for all who need it at the time. The first of them does it; where its
// ctx ends, another one begins anew.
func (e *Engine) loadModule(ctx context.Context, digest string, bin func() ([]byte, error), progress func(string, float64)) *loading {
	e.mu.Lock()
	l := e.modules[digest]
	if l != nil {
		e.mu.Unlock()
		select {
		case <-l.done:
			if isEnd(l.err) && ctx.Err() == nil {
				return e.loadModule(ctx, digest, bin, progress)
			}
			return l
		case <-ctx.Done():
			return &loading{err: ctx.Err()}
		}
	}
	l = &loading{done: make(chan struct{}), schemas: map[string]*value.Schema{}}
	e.modules[digest] = l
	e.mu.Unlock()
	began := time.Now()
	if l.module, l.err = e.guest.Reload(ctx, digest, bin, progress); l.err != nil {
		e.mu.Lock()
		delete(e.modules, digest)
		e.mu.Unlock()
	}
	close(l.done)
	if time.Since(began) > compiling {
		e.tasks.Go(debug.FreeOSMemory)
	}
	return l
}

// isEnd reports whether an error is that of a context.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// compiling is what loading a module takes at least when its code was not kept. It leaves behind more
// than a hundred MiB, which would stay with the process for minutes.
const compiling = time.Second

// schema returns the compiled schema of a workflow's input, nil where it has none.
func (l *loading) schema(w flawless.Workflow) (*value.Schema, error) {
	if len(w.Input) == 0 {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.schemas[w.Name]; s != nil {
		return s, nil
	}
	s, err := value.Compile(w.Input)
	switch {
	case errors.Is(err, value.ErrFanOut):
		return nil, fmt.Errorf("the manifest's schema of the input of workflow %q cannot be used: %v: %w", w.Name, err, flawless.Refused)
	case err != nil:
		return nil, fmt.Errorf("the manifest's schema of the input of workflow %q is not a JSON Schema: %v: %w", w.Name, err, flawless.Refused)
	}
	l.schemas[w.Name] = s
	return s, nil
}

// checkInput returns nil where the input fits the workflow.
func (l *loading) checkInput(w flawless.Workflow, input []byte) error {
	s, err := l.schema(w)
	if err != nil {
		return err
	}
	return value.Check(s, input, "the input does not fit workflow "+w.Name)
}

// RemoveModule removes a version of a module, or with version 0 all of them. It returns
// flawless.Conflict, and removes nothing, while an open run needs one: those have to end or to be
// moved before. Runs that have ended keep their logs; without the module they cannot be replayed.
func (e *Engine) RemoveModule(ctx context.Context, name string, version int) ([]flawless.Module, error) {
	e.choosing.Lock() // no run begins with it, or is moved to it, meanwhile
	defer e.choosing.Unlock()
	versions, err := e.store.Module(ctx, name)
	if err != nil {
		return nil, err
	}
	if version != 0 {
		versions = slices.DeleteFunc(versions, func(m flawless.Module) bool { return m.Version != version })
		if len(versions) == 0 {
			return nil, fmt.Errorf("module %s has no version %d: %w", name, version, flawless.NotFound)
		}
	}
	if err := e.unused(ctx, versions); err != nil {
		return nil, err
	}
	for i, m := range versions {
		if err := e.store.RemoveModule(ctx, e.lease, name, m.Version); err != nil {
			return versions[:i], err
		}
		e.names.forget()
		e.unload(ctx, m.Digest)
	}
	return versions, nil
}

// users returns the open runs by the digest of the module that they need.
func (e *Engine) users(ctx context.Context) (map[string][]string, error) {
	users := map[string][]string{}
	seen := map[string]bool{}
	take := func(id, digest string) {
		if !seen[id] {
			seen[id] = true
			users[digest] = append(users[digest], id)
		}
	}
	e.mu.Lock()
	for _, r := range e.runs { // also those that have just begun, which the store does not have
		r.mu.Lock()
		if r.s.Outcome() == "" && r.s.Start().Digest != "" {
			take(r.id, r.s.Start().Digest)
		}
		r.mu.Unlock()
	}
	e.mu.Unlock()
	for f := (flawless.Filter{Status: openStatuses, Limit: 1000}); ; {
		page, next, err := e.store.Runs(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			take(r.ID, r.Digest)
		}
		if f.Cursor = next; next == "" {
			return users, nil
		}
	}
}

// unused returns flawless.Conflict where an open run needs one of the modules.
func (e *Engine) unused(ctx context.Context, versions []flawless.Module) error {
	users, err := e.users(ctx)
	if err != nil {
		return err
	}
	for _, m := range versions {
		if ids := users[m.Digest]; len(ids) > 0 {
			return fmt.Errorf("removing module %s, version %d: %d open runs need it, among them %s; let them end, or move them with module upgrade: %w",
				m.Name, m.Version, len(ids), ids[0], flawless.Conflict)
		}
	}
	return nil
}
