package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// withoutModules is a database that cannot read the bytes of modules until they are written again.
type withoutModules struct {
	store.KV
	damaged atomic.Bool
}

func (kv *withoutModules) Get(ctx context.Context, key []byte) ([]byte, error) {
	if kv.damaged.Load() && key[0] == 'b' {
		return nil, fmt.Errorf("a block has a wrong checksum: %w", flawless.Damaged)
	}
	return kv.KV.Get(ctx, key)
}

func (kv *withoutModules) Apply(ctx context.Context, b *store.Batch) error {
	for _, item := range b.Set {
		if bytes.HasPrefix(item.Key, []byte("b")) {
			kv.damaged.Store(false)
		}
	}
	return kv.KV.Apply(ctx, b)
}

// TestAddingDamagedModuleRepairsIt: starts say what to do, health shows the damage, and once the module was added
// again its runs continue.
func TestAddingDamagedModuleRepairsIt(t *testing.T) {
	t.Parallel()
	kv := &withoutModules{KV: mem.New()}
	e := open(t, kv, Options{})
	id := mustStart(t, e, "obey", nil, "").ID
	e.Kill()
	kv.damaged.Store(true)

	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	e, err = Open(t.Context(), Options{Store: s, Guest: fixture().runtime, Kinds: effect.Kinds(effect.Options{})}) // it has no module loaded
	if err != nil {
		t.Fatal(err)
	}
	defer e.Kill()
	_, _, err = e.Start(t.Context(), Start{Module: "guest", Workflow: "obey"})
	digest := fixture().module.Digest()
	if !errors.Is(err, flawless.Conflict) || errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "flawless module add guest FILE") || !strings.Contains(err.Error(), digest) {
		t.Errorf("a start: %v", err)
	}
	if h := e.Health(); h.State != "damaged" || h.Message == "" {
		t.Errorf("health: %+v", h)
	}
	if _, err := e.Cancel(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Errorf("cancelling the run: %v", err)
	}
	r := until(t, e, id, func(r flawless.Run) bool { return r.Problem != "" })
	if r.Status != flawless.Unresolved || !strings.Contains(r.Problem, "flawless module add guest FILE") {
		t.Errorf("the run is %s: %s", r.Status, r.Problem)
	}

	if m, added, err := e.AddModule(t.Context(), "guest", fixture().bin, nil); err != nil || added {
		t.Errorf("adding the module again: version %d, new %v, %v", m.Version, added, err)
	}
	if r := mustEnd(t, e, id); r.Status != flawless.Cancelled {
		t.Errorf("the run is %+v", r)
	}
	if h := e.Health(); h.Quarantined != 0 {
		t.Errorf("%d runs are still quarantined", h.Quarantined)
	}
}
