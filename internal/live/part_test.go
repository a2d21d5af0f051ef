package live

import (
	"context"
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/store"
)

// TestShardOwnership: a Registry accepts the runs of its shards only, and those of a shard that was gained again are other
// ones than before.
func TestShardOwnership(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r := h.create("a")
	h.until("a", func(r flawless.Run) bool { return r.Turns == 1 })
	sh := store.ShardOf("a")
	waits := make(chan error, 1)
	h.Lose(sh)
	go func() { _, err := r.Durable(context.Background()); waits <- err }()
	if _, err := h.Acquire(t.Context(), "a"); !errors.Is(err, flawless.Elsewhere) {
		t.Errorf("acquiring a run of a lost shard: %v", err)
	}
	if r.Answer(1, flawless.Answer{}) {
		t.Error("a run of a lost shard takes an answer")
	}
	_, err := r.Update(func(s *core.State, now int64) ([]flawless.Entry, error) { return s.Pause(flawless.Pause{}, now) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Durable(t.Context()); !errors.Is(err, flawless.Elsewhere) {
		t.Errorf("writing a run of a lost shard: %v", err)
	}
	h.Abandon(sh)
	<-waits
	if run, guest := h.InMemory("a"); run || guest || h.OwnsAll() {
		t.Errorf("it is in memory: %v, its guest: %v", run, guest)
	}
	_, created := h.Create("a", nil, nil)
	for what, err := range map[string]error{"creating": created, "owning": h.Owns("a")} {
		if !errors.Is(err, flawless.Elsewhere) {
			t.Errorf("%s a run of an abandoned shard: %v", what, err)
		}
	}
	h.Own(sh)
	again, err := h.Acquire(t.Context(), "a")
	if err != nil || again == r || !h.OwnsAll() {
		t.Fatalf("acquiring it after the shard was gained again: the same %v, %v", again == r, err)
	}
	r.Release() // of the former one, which changes nothing
	again.View(func(s *core.State) {
		if s.Summary().Pause != nil {
			t.Error("it has what was never written")
		}
	})
	again.Release()
}

// TestRetireWaitsForCalls: the outcome of a call in flight is written before the shard is given up, unless there is no time.
func TestRetireWaitsForCalls(t *testing.T) {
	t.Parallel()
	for _, patient := range []bool{true, false} {
		h := open(t, 0, post, number)
		gate, begun := make(chan struct{}), make(chan struct{}, 1)
		h.hold = func(ctx context.Context) {
			begun <- struct{}{}
			select {
			case <-gate:
			case <-ctx.Done():
			}
		}
		r := h.create("a")
		<-begun
		sh := store.ShardOf("a")
		ctx, cancel := context.WithCancel(t.Context())
		retired := make(chan error, 1)
		go func() { retired <- h.Retire(ctx, []store.Shard{sh}, func([]store.Shard) {}) }()
		<-r.part.life.Turns.Done()
		if err := h.Owns("a"); !errors.Is(err, flawless.Elsewhere) {
			t.Errorf("a shard that is given up accepts work: %v", err)
		}
		if patient {
			close(gate)
		} else {
			cancel()
		}
		if err := <-retired; (err == nil) != patient {
			t.Errorf("with time %v: %v", patient, err)
		}
		cancel()
		h.Abandon(sh)
		r.Release()
		h.Own(sh)
		r, err := h.Acquire(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		account, err := r.Durable(t.Context())
		if err != nil || (account.Status == flawless.Unresolved) == patient {
			t.Errorf("with time %v, its next owner finds %+v, %v", patient, account, err)
		}
		r.Release()
		h.mu.Lock()
		if h.requests["/post"] != 1 {
			t.Errorf("the call was made %d times", h.requests["/post"])
		}
		h.mu.Unlock()
	}
}
