package guest

import (
	"context"
	"fmt"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/cache"
	"github.com/flawless-engine/flawless/internal/guest/memory"
	"github.com/flawless-engine/flawless/internal/guest/rewrite"
)

// cacheOf returns the cache of a runtime with these options.
func cacheOf(o Options) cache.Dir {
	return cache.Dir{Path: o.CacheDir, Version: fmt.Sprintf("%d-%d-%s-%d", FrozenFormat, rewrite.Version, flawless.Version, o.MemoryPages)}
}

// keepsCode reports whether compiled code is kept on disk.
func (r *Runtime) keepsCode() bool { return r.options.CacheDir != "" && !r.options.Interpreter }

// Kept returns the digests of the modules whose code is kept on disk.
func (r *Runtime) Kept() (digests []string) {
	if !r.keepsCode() {
		return nil
	}
	return r.kept.Digests()
}

// CodeSize returns how many bytes on disk the compiled code takes, and what else is kept of modules.
func (r *Runtime) CodeSize() (n int64) {
	if !r.keepsCode() {
		return 0
	}
	return r.kept.Size()
}

// RemoveCode removes from disk what is kept of modules that are not needed, and of all modules what other versions of
// the engine have kept, and returns how many bytes it has freed. A module that is loaded meanwhile or later, needed or
// not, is compiled again if its code is gone.
func (r *Runtime) RemoveCode(needed func(digest string) bool) (freed int64) {
	if !r.keepsCode() {
		return 0
	}
	return r.kept.Remove(needed)
}

// remember keeps what was found out about a module.
func (r *Runtime) remember(m *Module, manifest []byte, code cache.Code) {
	e := cache.Entry{Rewritten: *m.rewritten, Code: code, Manifest: manifest, Globals: m.globals, Generators: m.generators, Timerless: m.timerless}
	e.Rewritten.Binary = nil
	if m.base != nil {
		e.Shared, e.Image, e.Sum = true, m.base.Bytes, m.base.Sum
		e.Rewritten.Data = nil // it is in the image
	}
	r.kept.Put(m.digest, &e)
}

// recall returns a module as it was loaded before, nil if nothing is kept of it or it is damaged.
func (r *Runtime) recall(ctx context.Context, digest string) *Module {
	if !r.keepsCode() {
		return nil
	}
	if m := r.takeExpected(digest); m != nil {
		return m
	}
	m, err := r.newModule(digest, nil)
	if err != nil {
		return nil
	}
	e := r.kept.Get(digest)
	if e == nil {
		return nil
	}
	m.rewritten = &e.Rewritten
	if r.check(m.rewritten, false) != nil || m.loadCode(ctx, e.Code) != nil {
		return nil
	}
	if m.adopt(e) != nil {
		_ = m.Close(ctx)
		return nil
	}
	m.rewritten.Hollow = nil
	r.kept.Touch(digest) // for Expect
	return m
}

// adopt takes from the cache what initialise would find out.
func (m *Module) adopt(e *cache.Entry) error {
	if err := m.describe(e.Manifest); err != nil {
		return err
	}
	if !e.Shared {
		return nil
	}
	base, err := memory.NewImage(e.Image, m.rt.options.copied)
	if err != nil {
		return err
	}
	base.Sum = e.Sum
	m.base = base
	m.globals, m.generators, m.pages, m.timerless = e.Globals, e.Generators, uint32(len(e.Image)>>16), e.Timerless
	return nil
}

// Expect loads the module that was loaded last, by any process, so that it is ready when it is asked for. A starting
// server calls it while it opens its store. If nobody asks for the module within ten seconds, it is closed.
func (r *Runtime) Expect(ctx context.Context) {
	digest := r.kept.Last()
	if digest == "" {
		return
	}
	m := r.recall(ctx, digest)
	if m == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = m
	time.AfterFunc(10*time.Second, func() {
		if m := r.takeExpected(digest); m != nil {
			_ = m.Close(context.WithoutCancel(ctx))
		}
	})
}

// takeExpected takes the module that Expect has loaded. It returns nil if another module was expected than that of
// digest, or it was taken already. "" is any module.
func (r *Runtime) takeExpected(digest string) *Module {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.expected
	if m == nil || digest != "" && m.digest != digest {
		return nil
	}
	r.expected = nil
	return m
}
