// Package examine replays runs for people: it answers what a run did, where it was after a turn, which functions it executed, and where
// two runs differ.
//
// It reads the store and computes, and changes neither a run nor the outside. Examinations need a permit to compute, as turns do.
package examine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/source"
	"github.com/flawless-engine/flawless/internal/store"
)

// Options are what an Examiner uses.
type Options struct {
	Store     *store.Store
	Library   *library.Library
	Residency *residency.Residency
	Guest     *guest.Runtime
	Kinds     map[string]*effect.Kind
}

// maxKept is how much memory the frozen guests of inspected runs may take.
const maxKept = 64 << 20

// Examiner examines runs. All methods may be called concurrently.
type Examiner struct {
	o         Options
	inspector *replay.Inspector

	mu   sync.Mutex // guards last, and the users of modules
	last *tracedModule
}

// New returns an examiner.
func New(o Options) *Examiner {
	return &Examiner{o: o, inspector: replay.NewInspector(o.Kinds, maxKept)}
}

// Replay replays a run from its log, with its own module, or with bin unless that is nil. It touches neither the outside nor
// the run, which may be in any state and continue meanwhile. The log is read as it is at this moment.
func (e *Examiner) Replay(ctx context.Context, id string, bin []byte) (flawless.Replay, error) {
	var out flawless.Replay
	err := e.examine(ctx, id, bin, func(m *guest.Module, head store.Head) (err error) {
		out, err = replay.Run(ctx, m, id, e.o.Store.Log(ctx, id, 0), replay.Options{})
		e.sources(bin).Explain(ctx, out.Divergence, head.Run.Digest, out.Digest)
		return err
	})
	return out, err
}

// sources returns a reader of the sources in stored modules, and in bin unless that is nil.
func (e *Examiner) sources(bin []byte) *source.Reader {
	return source.NewReader(func(ctx context.Context, digest string) ([]byte, error) {
		if bin != nil && guest.Digest(bin) == digest {
			return bin, nil
		}
		return e.o.Store.Binary(ctx, digest)
	})
}

// Explain adds the lines of source to the divergences in a report of an upgrade, whose code is bin unless that is nil.
func (e *Examiner) Explain(ctx context.Context, u flawless.ModuleUpgrade, bin []byte) {
	from := e.sources(bin)
	for _, r := range u.Runs {
		from.Explain(ctx, r.Divergence, r.From, u.Digest)
	}
}

// examine calls f with the module to examine a run with. Examinations need a permit to compute, as turns do.
func (e *Examiner) examine(ctx context.Context, id string, bin []byte, f func(m *guest.Module, head store.Head) error) error {
	if err := flawless.CheckID(id); err != nil {
		return err
	}
	head, err := e.o.Store.Head(ctx, id)
	if err != nil {
		return err
	}
	m, done, err := e.o.Library.Borrow(ctx, head.Run.Digest, bin)
	if err != nil {
		return fmt.Errorf("examining run %s: %w", id, err)
	}
	defer done()
	if err := e.o.Residency.Compute.Acquire(ctx, residency.Heavy, 0, nil); err != nil {
		return err
	}
	defer e.o.Residency.Compute.Release()
	return f(m, head)
}

// Inspect returns the state of a run after a turn, from a replay; turn 0 is the last one. Unless against is zero, the memory
// is compared with that after that turn. It touches neither the outside nor the run.
func (e *Examiner) Inspect(ctx context.Context, id string, turn, against int) (flawless.Inspection, error) {
	var out flawless.Inspection
	err := e.examine(ctx, id, nil, func(m *guest.Module, head store.Head) (err error) {
		out, err = e.inspect(ctx, m, head, turn, against)
		return err
	})
	if err != nil {
		return flawless.Inspection{}, fmt.Errorf("inspecting run %s: %w", id, err)
	}
	return out, nil
}

// InspectStacks is Inspect that also has the stacks of the calls of guests in other languages than Go. It compiles the module once
// more for that, and replays more slowly.
func (e *Examiner) InspectStacks(ctx context.Context, id string, turn, against int) (flawless.Inspection, error) {
	if err := flawless.CheckID(id); err != nil {
		return flawless.Inspection{}, fmt.Errorf("inspecting run %s: %w", id, err)
	}
	out, err := e.inspectStacks(ctx, id, turn, against)
	if err != nil {
		return flawless.Inspection{}, fmt.Errorf("inspecting run %s: %w", id, err)
	}
	return out, nil
}

func (e *Examiner) inspectStacks(ctx context.Context, id string, turn, against int) (out flawless.Inspection, err error) {
	head, err := e.o.Store.Head(ctx, id)
	if err != nil {
		return out, err
	}
	bin, err := e.o.Store.Binary(ctx, head.Run.Digest)
	if err != nil {
		return out, err
	}
	if guest.IsGo(bin) {
		err = e.examine(ctx, id, nil, func(m *guest.Module, head store.Head) error {
			out, err = e.inspect(ctx, m, head, turn, against)
			return err
		})
		return out, err
	}
	m, done, err := e.traced(ctx, head.Run.Digest, bin)
	if err != nil {
		return out, err
	}
	defer done()
	if err := e.o.Residency.Compute.Acquire(ctx, residency.Heavy, 0, nil); err != nil {
		return out, err
	}
	defer e.o.Residency.Compute.Release()
	return e.inspect(ctx, m, head, turn, against)
}

func (e *Examiner) inspect(ctx context.Context, m *guest.Module, head store.Head, turn, against int) (flawless.Inspection, error) {
	log := func(from uint64) iter.Seq2[flawless.Record, error] { return e.o.Store.Log(ctx, head.Run.ID, from) }
	out, err := e.inspector.Inspect(ctx, m, head.Run.ID, log, turn, against)
	var d *flawless.Divergence
	if errors.As(err, &d) {
		e.sources(nil).Explain(ctx, d, head.Run.Digest, head.Run.Digest)
	}
	return out, err
}

// traced returns a module whose guests record their stacks. The last one that was asked for is kept until another one is, or the
// engine ends with its runtime.
func (e *Examiner) traced(ctx context.Context, digest string, bin []byte) (m *guest.Module, done func(), err error) {
	e.mu.Lock()
	t := e.last
	if t == nil || t.digest != digest {
		t = &tracedModule{digest: digest, users: 1} // of the Examiner
		e.release(e.last)
		e.last = t
	}
	t.users++
	e.mu.Unlock()
	done = func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.release(t)
	}
	t.load.Lock()
	defer t.load.Unlock()
	if t.module == nil {
		if t.module, err = e.o.Guest.LoadTraced(ctx, bin, true); err != nil {
			done()
			return nil, nil, err
		}
	}
	return t.module, done, nil
}

// tracedModule is a module for inspections.
type tracedModule struct {
	digest string
	users  int
	load   sync.Mutex
	module *guest.Module // nil until it is loaded
}

// release closes a module that nobody uses any more; nil is none. The caller holds mu.
func (e *Examiner) release(t *tracedModule) {
	if t == nil {
		return
	}
	if t.users--; t.users == 0 && t.module != nil {
		_ = t.module.Close(context.Background())
	}
}

// Trace returns the path of a run through its code, from a replay with its own module, or with bin unless that is nil. If
// the replay diverges, the trace ends there. It touches neither the outside nor the run.
func (e *Examiner) Trace(ctx context.Context, id string, bin []byte, o replay.TraceOptions) (flawless.Trace, error) {
	if err := flawless.CheckID(id); err != nil {
		return flawless.Trace{}, err
	}
	head, err := e.o.Store.Head(ctx, id)
	if err != nil {
		return flawless.Trace{}, err
	}
	if bin == nil {
		if bin, err = e.o.Store.Binary(ctx, head.Run.Digest); err != nil {
			return flawless.Trace{}, fmt.Errorf("tracing run %s: %w", id, err)
		}
	}
	if err := e.o.Residency.Compute.Acquire(ctx, residency.Heavy, 0, nil); err != nil {
		return flawless.Trace{}, err
	}
	defer e.o.Residency.Compute.Release()
	m, err := e.o.Guest.LoadTraced(ctx, bin, o.All)
	if err != nil {
		return flawless.Trace{}, fmt.Errorf("tracing run %s: %w", id, err)
	}
	defer func() { _ = m.Close(context.WithoutCancel(ctx)) }()
	t, err := replay.Trace(ctx, m, id, e.o.Store.Log(ctx, id, 0), o)
	e.sources(bin).Explain(ctx, t.Divergence, head.Run.Digest, t.Digest)
	return t, err
}

// Diff returns the first turn in which two runs differ. Their times, randomness and log lines are not compared.
func (e *Examiner) Diff(ctx context.Context, a, b string) (flawless.Difference, error) {
	for _, id := range []string{a, b} {
		if err := flawless.CheckID(id); err != nil {
			return flawless.Difference{}, err
		}
		if _, err := e.o.Store.Head(ctx, id); err != nil {
			return flawless.Difference{}, err
		}
	}
	d, err := replay.Diff(e.o.Store.Log(ctx, a, 0), e.o.Store.Log(ctx, b, 0))
	d.A, d.B = a, b
	return d, err
}
