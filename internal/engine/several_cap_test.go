package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
)

// stays is an outside at which each request stays for a while. It counts how many are there at once.
type stays struct {
	mu         sync.Mutex
	here, most int
	seen       map[string]int
	order      []string // of their runs
}

func (s *stays) kinds() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = s.perform
		}
	}
	return kinds
}

func (s *stays) perform(ctx context.Context, a effect.Attempt) effect.Result {
	s.mu.Lock()
	s.here++
	s.most = max(s.most, s.here)
	s.seen[a.Run]++
	s.order = append(s.order, a.Run)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.here--
	}()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return effect.Result{Outcome: effect.Unknown, Passes: true, Text: "cut off"}
	}
	answer, _ := effect.ResponseAnswer(a.Call.N, 200, []byte("done"))
	return effect.Result{Outcome: effect.Answered, Answer: answer}
}

// endedOf returns how many runs have ended.
func endedOf(t *testing.T, e *Engine) (n int) {
	t.Helper()
	runs, _, err := e.Runs(t.Context(), flawless.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if r.Status.Ended() {
			n++
		}
	}
	return n
}

// TestCapsHoldOverServers: the runs of three servers have a cap, of their key or their module, and the server that decides
// which may begin crashes in the middle.
func TestCapsHoldOverServers(t *testing.T) {
	for _, by := range []string{"key", "module"} {
		t.Run(by, func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				s := &stays{seen: map[string]int{}}
				o := Options{Kinds: s.kinds()}
				kv, m, all := several(t, 3, o)
				place := flawless.QueueOptions{Key: "k", Limit: 3}
				if by == "module" {
					place = flawless.QueueOptions{}
					if _, err := all[1].ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = 3 }); err != nil {
						t.Fatal(err)
					}
					refresh(t, all...)
				}
				for k := range 20 {
					for i, e := range all {
						begin := Start{Module: "guest", Workflow: "chain", ID: idOf(e, fmt.Sprint("run-", i, "-", k)), Input: input(t, map[string]any{"url": "https://outside.test", "n": 2}), Queue: place}
						if _, _, err := e.Start(t.Context(), begin); err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(10*time.Second + 500*time.Millisecond)
				synctest.Wait()
				if n := endedOf(t, all[1]); n < 12 || n > 15 {
					t.Errorf("with a cap of 3, %d runs have ended after 10 seconds", n)
				}
				all[0].Kill()
				time.Sleep(7 * time.Second) // what was admitted goes on, nothing else begins
				synctest.Wait()
				gain := func(e *Engine, shards ...store.Shard) {
					if err := e.Gain(t.Context(), store.ByForce(shards...)); err != nil {
						t.Fatal(err)
					}
				}
				gain(all[2], shareOf(0, 3)...)
				time.Sleep(5*time.Second + 100*time.Millisecond)
				synctest.Wait()
				runs, _, err := all[2].Runs(t.Context(), flawless.Filter{Status: []flawless.Status{flawless.Unresolved}})
				if err != nil || len(runs) != 3 {
					t.Fatalf("%d runs were in the middle of a call, %v", len(runs), err)
				}
				for _, r := range runs { // they have kept their places
					if _, err := all[2].Resolve(t.Context(), r.ID, flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Retry, Confirm: true}); err != nil {
						t.Fatal(err)
					}
				}
				if err := all[2].Release(t.Context(), store.ShardOfCaps); err != nil { // in order
					t.Fatal(err)
				}
				gain(all[1], store.ShardOfCaps)
				next := joinMesh(t, kv, m, "node-3", o)
				refresh(t, next)
				if err := all[2].Release(t.Context(), shareOf(2, 3)...); err != nil {
					t.Fatal(err)
				}
				gain(next, shareOf(2, 3)...)
				time.Sleep(60 * time.Second)
				synctest.Wait()
				if n := endedOf(t, all[1]); n != 60 {
					t.Errorf("%d of 60 runs have ended", n)
				}
				if s.most != 3 {
					t.Errorf("with a cap of 3, %d were at the outside at once", s.most)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				for id, err := range all[1].store.Grants(t.Context()) {
					t.Errorf("the grant of run %s is left, %v", id, err)
				}
				for _, e := range []*Engine{all[1], all[2], next} {
					if !e.caps.Empty() {
						t.Error("something is left of runs that have ended")
					}
					e.Kill()
				}
			})
		})
	}
}

// TestRunsOfServersBeginInOneOrder: by priority, then by age, wherever they are.
func TestRunsOfServersBeginInOneOrder(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		s := &stays{seen: map[string]int{}}
		_, _, all := several(t, 3, Options{Kinds: s.kinds()})
		var want []string
		for k := range 9 {
			e := all[k%3]
			id := idOf(e, fmt.Sprint("run-", k))
			place := flawless.QueueOptions{Key: "k", Limit: 1}
			if place.Priority = 0; k >= 6 {
				place.Priority = 1
			}
			if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "chain", ID: id, Queue: place, Input: input(t, map[string]any{"url": "https://outside.test", "n": 1})}); err != nil {
				t.Fatal(err)
			}
			want = append(want, id)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want = slices.Concat(want[:1], want[6:], want[1:6])
		if !slices.Equal(s.order, want) {
			t.Errorf("they began in the order\n%v, want\n%v", s.order, want)
		}
		for _, e := range all {
			e.Kill()
		}
	})
}

// TestDeadlockOverCapOfAnotherServer: a child needs the place that its parent has, and the caps are decided elsewhere.
func TestDeadlockOverCapOfAnotherServer(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		_, _, all := several(t, 2, Options{})
		place := flawless.QueueOptions{Key: "k", Limit: 1}
		id := idOf(all[1], "parent")
		other := idOf(all[1], "other")
		if _, _, err := all[1].Start(t.Context(), Start{Module: "guest", Workflow: "want", ID: id, Queue: place, Input: input(t, ops(sleeps(2000), awaits(other)))}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, _, err := all[1].Start(t.Context(), Start{Module: "guest", Workflow: "want", ID: other, Queue: place, Input: input(t, ops(sleeps(1)))}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		r, err := all[1].Run(t.Context(), id)
		if err != nil || !r.Status.Ended() {
			t.Errorf("a run that waits for one that needs its place is %+v, %v", r, err)
		}
		if r, err := all[1].Run(t.Context(), other); err != nil || r.Status != flawless.Completed {
			t.Errorf("the other run is %+v, %v", r, err)
		}
		for _, e := range all {
			e.Kill()
		}
	})
}
