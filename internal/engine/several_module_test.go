package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// TestStartsUseModulesOfOtherServers: as soon as a module was added, removed or replaced at one server, runs of others start
// with what there is.
func TestStartsUseModulesOfOtherServers(t *testing.T) {
	t.Parallel()
	fixed := edition(t, "fixed")
	_, _, all := several(t, 2, Options{})
	a, b := all[0], all[1]
	start := func(n int) (flawless.Run, error) {
		r, _, err := b.Start(t.Context(), Start{Module: "guest", Workflow: "obey", ID: idOf(b, fmt.Sprint("run-", n))})
		return r, err
	}
	first, err := start(1)
	if err != nil {
		t.Fatal(err)
	}
	m := addEdition(t, a, fixed)
	if r, err := start(2); err != nil || r.Digest != m.Digest {
		t.Errorf("after another version was added: %.12s, %v, want %.12s", r.Digest, err, m.Digest)
	}
	if _, err := a.RemoveModule(t.Context(), "guest", 1); !errors.Is(err, flawless.Conflict) {
		t.Errorf("removing a version that a run of another server needs: %v", err)
	}
	if r, err := start(3); err != nil || r.Digest != m.Digest {
		t.Errorf("after a refused removal: %.12s, %v", r.Digest, err)
	}
	if _, _, err := a.AddModule(t.Context(), "other", append(bytes.Clone(fixture().bin), 0, 2, 1, 'o'), nil); err != nil {
		t.Fatal(err)
	}
	if r, _, err := b.Start(t.Context(), Start{Module: "other", Workflow: "obey"}); err != nil {
		t.Errorf("a module with a new name: %v, %v", r, err)
	} else if _, err := b.Terminate(t.Context(), r.ID, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.RemoveModule(t.Context(), "other", 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Start(t.Context(), Start{Module: "other", Workflow: "obey"}); !errors.Is(err, flawless.NotFound) {
		t.Errorf("a module that was removed: %v", err)
	}
	if _, err := b.Terminate(t.Context(), first.ID, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.RemoveModule(t.Context(), "guest", 1); err != nil {
		t.Errorf("removing a version that nobody needs: %v", err)
	}
	if _, _, err := b.Start(t.Context(), Start{Module: "guest", Version: "1", Workflow: "obey"}); !errors.Is(err, flawless.NotFound) {
		t.Errorf("a version that was removed: %v", err)
	}
}

// TestRemovedModuleHasNoRuns adds and removes modules at one server while another one starts runs with them: whatever was
// started can be continued.
func TestRemovedModuleHasNoRuns(t *testing.T) {
	t.Parallel()
	var bins [][]byte
	for n := range 4 {
		bins = append(bins, append(bytes.Clone(fixture().bin), 0, 2, 1, 'a'+byte(n))) // a custom section
	}
	_, _, all := several(t, 3, Options{})
	for n, bin := range bins {
		name := fmt.Sprint("spare-", n)
		if _, _, err := all[0].AddModule(t.Context(), name, bin, nil); err != nil {
			t.Fatal(err)
		}
		var started, removed atomic.Int64
		var work sync.WaitGroup
		for i, e := range all[1:] {
			for k := range 4 {
				work.Go(func() {
					id := idOf(e, fmt.Sprint("run-", n, "-", i, "-", k))
					_, _, err := e.Start(t.Context(), Start{Module: name, Workflow: "obey", ID: id})
					switch {
					case err == nil:
						started.Add(1)
					case !errors.Is(err, flawless.NotFound):
						t.Errorf("starting %s: %v", id, err)
					}
				})
			}
		}
		work.Go(func() {
			_, err := all[0].RemoveModule(t.Context(), name, 0)
			switch {
			case err == nil:
				removed.Add(1)
			case !errors.Is(err, flawless.Conflict):
				t.Errorf("removing %s: %v", name, err)
			}
		})
		work.Wait()
		if (started.Load() > 0) == (removed.Load() > 0) {
			t.Errorf("%s: %d runs were started, and it was removed %d times", name, started.Load(), removed.Load())
		}
	}
}

// gated is a database in which the first write that a test selects waits, and which counts how often the catalog is read.
type gated struct {
	store.KV
	selects func(b *store.Batch) bool
	once    atomic.Bool
	held    chan struct{} // closed when it waits
	gate    chan struct{} // closed when it may go on
	reads   atomic.Int64
}

func newGated(kv store.KV, selects func(b *store.Batch) bool) *gated {
	return &gated{KV: kv, selects: selects, held: make(chan struct{}), gate: make(chan struct{})}
}

func (g *gated) Apply(ctx context.Context, b *store.Batch) error {
	if g.selects(b) && g.once.CompareAndSwap(false, true) {
		close(g.held)
		<-g.gate
	}
	return g.KV.Apply(ctx, b)
}

func (g *gated) Get(ctx context.Context, key []byte) ([]byte, error) {
	if key[0] == 'N' {
		g.reads.Add(1)
	}
	return g.KV.Get(ctx, key)
}

// TestStartExpectsItsModule: the write that accepts a run is held back while another server removes its module.
func TestStartExpectsItsModule(t *testing.T) {
	t.Parallel()
	kv, m, all := several(t, 2, Options{})
	bin := append(bytes.Clone(fixture().bin), 0, 2, 1, 'z')
	if _, _, err := all[0].AddModule(t.Context(), "spare", bin, nil); err != nil {
		t.Fatal(err)
	}
	all[1].Kill()
	g := newGated(kv, func(b *store.Batch) bool {
		return slices.ContainsFunc(b.Set, func(item store.Item) bool { return item.Key[0] == 'r' })
	})
	b := joinMesh(t, g, m, "node-2", Options{}, shareOf(1, 2)...)
	ended := make(chan error, 1)
	go func() {
		_, _, err := b.Start(context.Background(), Start{Module: "spare", Workflow: "obey"})
		ended <- err
	}()
	<-g.held
	if _, err := all[0].RemoveModule(t.Context(), "spare", 0); err != nil {
		t.Fatal(err)
	}
	close(g.gate)
	if err := <-ended; !errors.Is(err, flawless.NotFound) {
		t.Errorf("a run was started with a module that was removed: %v", err)
	}
}

// TestStartWaitsForRemoval: once a server has seen that nobody needs a module, no run starts with it.
func TestStartWaitsForRemoval(t *testing.T) {
	t.Parallel()
	kv, m, all := several(t, 2, Options{})
	all[0].Kill()
	all[1].Kill()
	removes := newGated(kv, func(b *store.Batch) bool { return len(b.Delete) > 0 })
	starts := newGated(kv, func(*store.Batch) bool { return false })
	a := joinMesh(t, removes, m, "node-2", Options{}, shareOf(0, 2)...)
	b := joinMesh(t, starts, m, "node-3", Options{}, shareOf(1, 2)...)
	removed := make(chan error, 1)
	go func() {
		_, err := a.RemoveModule(context.Background(), "guest", 0)
		removed <- err
	}()
	<-removes.held
	ended := make(chan error, 1)
	go func() {
		_, _, err := b.Start(context.Background(), Start{Module: "guest", Workflow: "obey"})
		ended <- err
	}()
	untilSo(t, "the start looks again and again", func() bool { return len(ended) > 0 || starts.reads.Load() > 5 })
	close(removes.gate)
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, flawless.NotFound) {
		t.Errorf("a run was started with a module that was being removed: %v", err)
	}
}

// TestRemovalOfCrashedServerEnds: its mark does not keep runs from starting once its shards have another owner.
func TestRemovalOfCrashedServerEnds(t *testing.T) {
	t.Parallel()
	kv, m, all := several(t, 2, Options{})
	digest := fixture().module.Digest()
	if _, err := all[0].store.Reserve(t.Context(), all[0].lease, []string{digest}, true, func(store.Mark) bool { return false }); err != nil {
		t.Fatal(err)
	}
	all[0].Kill()
	ended := make(chan error, 1)
	go func() {
		_, _, err := all[1].Start(context.Background(), Start{Module: "guest", Workflow: "obey"})
		ended <- err
	}()
	c := joinMesh(t, kv, m, "node-2", Options{}, shareOf(0, 2)...)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := c.RemoveModule(t.Context(), "guest", 0); !errors.Is(err, flawless.Conflict) {
		t.Errorf("removing a module that a run needs: %v", err)
	}
}

// TestUpgradeKeepsItsModule: while runs move to a version, another server does not remove it.
func TestUpgradeKeepsItsModule(t *testing.T) {
	t.Parallel()
	fixed := edition(t, "fixed")
	_, _, all := several(t, 2, Options{})
	m := addEdition(t, all[0], fixed)
	done, err := all[0].library.Reserve(t.Context(), m.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all[1].RemoveModule(t.Context(), "guest", m.Version); !errors.Is(err, flawless.Conflict) {
		t.Errorf("removing a version that runs move to: %v", err)
	}
	done()
	if _, err := all[1].RemoveModule(t.Context(), "guest", m.Version); err != nil {
		t.Error(err)
	}
	if _, err := all[0].library.Reserve(t.Context(), m.Digest); !errors.Is(err, flawless.Conflict) {
		t.Errorf("moving runs to a version that was removed: %v", err)
	}
}
