package engine

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// world stands for the outside in virtual time. It counts requests by run, and answers by their URL: with
// /never it does not, with /busy it asks to be called again later.
type world struct {
	mu   sync.Mutex
	seen map[string]int
}

func (w *world) kinds() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = w.perform
		}
	}
	return kinds
}

func (w *world) perform(ctx context.Context, t effect.Attempt) effect.Result {
	w.mu.Lock()
	w.seen[t.Run]++
	w.mu.Unlock()
	a, _ := effect.ResponseAnswer(t.Call.N, 200, []byte("ok"))
	r := effect.Result{Outcome: effect.Answered, Answer: a}
	switch head := string(t.Call.Head); {
	case strings.Contains(head, "/never"):
		<-ctx.Done()
		return effect.Result{Outcome: effect.Unknown, Text: "the engine stopped"}
	case strings.Contains(head, "/busy"):
		r.Again = true
	}
	return r
}

func (w *world) requests() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.seen)
}

// copying is a database that is copied after each write.
type copying struct {
	*mem.DB
	mu     sync.Mutex
	copies []*mem.DB
}

func (c *copying) Apply(ctx context.Context, b *store.Batch) error {
	err := c.DB.Apply(ctx, b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copies = append(c.copies, c.DB.Clone())
	return err
}

// accepted opens an engine over a copy that a person has accepted.
func accepted(t *testing.T, kv store.KV, w *world) *Engine {
	t.Helper()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	e, err := reopen(t, kv, Options{Kinds: w.kinds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Kill)
	return e
}

// wait is a step of a script.
func sleeping(d time.Duration) Step { return Step{Sleep: int(d / time.Microsecond)} }

// busyStore starts runs that are in the middle of everything that may lead to a request.
func busyStore(t *testing.T, kv store.KV, w *world) *Engine {
	t.Helper()
	e := open(t, kv, Options{Kinds: w.kinds()})
	mustLimit(t, e, "slow.example", "1/h", 1)
	for _, r := range []struct {
		id    string
		url   string
		steps []Step
	}{
		{"posts", "http://api.example", []Step{{Post: "/never"}}},
		{"puts", "http://api.example", []Step{{Put: "/never"}}},
		{"sleeps", "http://api.example", []Step{sleeping(30 * time.Minute), {Post: "/done"}}},
		{"first", "http://slow.example", []Step{{Post: "/done"}}},
		{"second", "http://slow.example", []Step{{Post: "/done"}}},
		{"quick", "http://api.example", []Step{{Post: "/done"}, {Put: "/done"}, {Post: "/done"}}},
	} {
		mustStart(t, e, "script", Script{URL: r.url, Steps: r.steps}, r.id)
	}
	mustStart(t, e, "insist", map[string]any{"url": "http://api.example/busy", "n": 100}, "retries")
	mustStart(t, e, "together", map[string]any{"url": "http://api.example"}, "parent")
	mustSchedule(t, e, flawless.Schedule{Name: "often", Workflow: "script", Cron: "*/5 * * * *",
		Input: input(t, Script{URL: "http://api.example", Steps: []Step{{Post: "/done"}}}), CatchUpMS: time.Hour.Milliseconds()})
	return e
}

// TestCopyBeginsNothing is promise 8: whenever a copy of a store is taken, nothing is sent from it before a
// person says so, however much time passes, and not after a restart either.
func TestCopyBeginsNothing(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:01:00Z", func(t *testing.T) {
		kv := &copying{DB: mem.New()}
		original := &world{seen: map[string]int{}}
		e := busyStore(t, kv, original)
		time.Sleep(time.Minute)
		e.Kill()
		seen := original.requests()
		for _, id := range []string{"posts", "puts", "first", "quick", "retries", "parent", "parent.2"} {
			if seen[id] == 0 {
				t.Fatalf("the original has sent nothing for %s: this shows nothing: %v", id, seen)
			}
		}
		kv.mu.Lock()
		copies := kv.copies
		kv.mu.Unlock()
		for i, c := range copies {
			w := &world{seen: map[string]int{}}
			e := accepted(t, c, w)
			time.Sleep(time.Hour)
			e.Kill()
			e, err := reopen(t, c, Options{Kinds: w.kinds()})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if got := w.requests(); len(got) > 0 {
				t.Errorf("copy %d of %d has sent %v", i, len(copies), got)
			}
			runs, _, err := e.Runs(t.Context(), flawless.Filter{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				if !r.Status.Ended() && (r.Pause == nil || !r.Pause.Hold || r.Status != flawless.Paused && r.Status != flawless.Unresolved) {
					t.Errorf("copy %d of %d: run %s is %s, %+v", i, len(copies), r.ID, r.Status, r.Pause)
				}
			}
			e.Kill()
		}
		t.Logf("%d copies", len(copies))
	})
}

// TestRunsOfCopyContinueWhenResumed: postponed work is made up for, and calls whose result nobody can know have an unknown outcome.
func TestRunsOfCopyContinueWhenResumed(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:01:00Z", func(t *testing.T) {
		kv := mem.New()
		e := busyStore(t, kv, &world{seen: map[string]int{}})
		mustStart(t, e, "script", Script{URL: "http://api.example", Steps: []Step{sleeping(time.Hour), {Post: "/done"}}}, "paused")
		if _, err := e.Pause(t.Context(), "paused", flawless.Pause{Who: "anna", Note: "wait"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		origin := e.Health().Store
		copied := kv.Clone()
		e.Kill()
		w := &world{seen: map[string]int{}}
		e = accepted(t, copied, w)
		if h := e.Health(); h.Origin != origin || h.Store == origin || h.Store == "" || h.Start != 2 {
			t.Errorf("the health is %+v", h)
		}
		if s, err := e.Schedules().Get("often"); err != nil || !s.Paused || !strings.Contains(s.Note, origin) {
			t.Errorf("the schedule is %+v, %v", s, err)
		}
		for _, id := range []string{"posts", "puts", "sleeps", "second", "retries", "parent", "paused"} {
			r, err := e.Run(t.Context(), id)
			if err != nil || r.Pause == nil || !strings.Contains(r.Pause.Note, "copy of "+origin) {
				t.Fatalf("%s is %+v, %v", id, r.Pause, err)
			}
			if _, err = e.Pause(t.Context(), id, flawless.Pause{Resume: true, Who: "anna"}); err != nil {
				t.Errorf("resuming %s: %v", id, err)
			}
		}
		time.Sleep(2 * time.Hour)
		got := w.requests()
		for id, want := range map[string]int{"posts": 0, "puts": 1, "sleeps": 1, "second": 1, "first": 0, "quick": 0, "paused": 0} {
			if got[id] != want {
				t.Errorf("%s has sent %d requests, want %d", id, got[id], want)
			}
		}
		if got["retries"] < 10 {
			t.Errorf("the retries have gone on %d times", got["retries"])
		}
		for id, want := range map[string]flawless.Status{"posts": flawless.Unresolved, "sleeps": flawless.Completed, "second": flawless.Completed, "paused": flawless.Paused} {
			if r, err := e.Run(t.Context(), id); err != nil || r.Status != want {
				t.Errorf("%s is %+v, %v", id, r, err)
			}
		}
		if r, err := e.Run(t.Context(), "paused"); err != nil || r.Pause == nil || r.Pause.Who != "anna" || r.Pause.Hold {
			t.Errorf("the run that was paused before is %+v, %v", r.Pause, err)
		}
		if r := mustStart(t, e, "empty", nil, "new"); mustEndAfter(t, e, r.ID, time.Minute).Status != flawless.Completed {
			t.Error("a run that is started in the copy does not run")
		}
	})
}

// TestResumedCopySendsRequestAgainUnderItsKey: an idempotent request was under way when the copy was taken, and its deadline is
// over when a person resumes the run. It may have taken effect, so it is sent again under its key and has its whole
// time-out. Code that was told of the deadline would send it under another key.
func TestResumedCopySendsRequestAgainUnderItsKey(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:01:00Z", func(t *testing.T) {
		kv, original := mem.New(), &world{seen: map[string]int{}}
		e := open(t, kv, Options{Kinds: original.kinds()})
		mustStart(t, e, "haste", map[string]any{"URL": "http://api.example/never", "Timeout": time.Hour, "Idempotent": true}, "run")
		time.Sleep(time.Minute)
		e.Kill()
		s, err := store.Open(t.Context(), kv)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Adopt(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		var outside booking
		if e, err = reopen(t, kv, Options{Kinds: outside.kinds()}); err != nil {
			t.Fatal(err)
		}
		defer e.Kill()
		time.Sleep(2 * time.Hour)
		if _, err := e.Pause(t.Context(), "run", flawless.Pause{Resume: true}); err != nil {
			t.Fatal(err)
		}
		if r := mustEndAfter(t, e, "run", time.Minute); r.Status != flawless.Completed || !strings.HasPrefix(string(r.Output), `"try 1:`) {
			t.Errorf("it is %s %s %+v", r.Status, r.Output, r.Failure)
		}
		if got := outside.String(); got != "/never" {
			t.Errorf("the copy sent %q", got)
		}
	})
}

// TestRetryInCopyWaitsForResume: a person says that a call is to be sent, and a run that is held sends none.
func TestRetryInCopyWaitsForResume(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:01:00Z", func(t *testing.T) {
		kv := mem.New()
		busyStore(t, kv, &world{seen: map[string]int{}}).Kill()
		w := &world{seen: map[string]int{}}
		e := accepted(t, kv, w)
		defer func() { e.Kill() }()
		r, err := e.Run(t.Context(), "posts")
		if err != nil || len(r.Unresolved) != 1 {
			t.Fatalf("it is %+v, %v", r, err)
		}
		if _, err := e.Resolve(t.Context(), "posts", flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Retry}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		e.Kill()
		if e, err = reopen(t, kv, Options{Kinds: w.kinds()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if r, err := e.Run(t.Context(), "posts"); err != nil || r.Status != flawless.Paused || w.requests()["posts"] != 0 {
			t.Errorf("it is %s, %v, and has sent %d", r.Status, err, w.requests()["posts"])
		}
		if _, err := e.Pause(t.Context(), "posts", flawless.Pause{Resume: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.requests()["posts"]; n != 1 {
			t.Errorf("it has sent %d after the resume", n)
		}
	})
}

// TestHoldingContinuesAfterCrash has the server die at each write while it holds runs back.
func TestHoldingContinuesAfterCrash(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:01:00Z", func(t *testing.T) {
		kv := mem.New()
		e := busyStore(t, kv, &world{seen: map[string]int{}})
		time.Sleep(10 * time.Second)
		copied := kv.Clone()
		e.Kill()
		for n := 1; ; n++ {
			w := &world{seen: map[string]int{}}
			c := copied.Clone()
			s, err := store.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Adopt(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			dying := newMortal(c, n, true)
			e, err := reopen(t, dying, Options{Kinds: w.kinds()})
			if err == nil {
				e.Kill()
			}
			if !dying.isDead() {
				if n < 5 {
					t.Errorf("it died at %d writes only: this shows nothing", n)
				}
				return
			}
			if e, err = reopen(t, c, Options{Kinds: w.kinds()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if got := w.requests(); len(got) > 0 {
				t.Errorf("after write %d: it has sent %v", n, got)
			}
			if id := fmt.Sprint(e.Health().Origin); id == "" {
				t.Errorf("after write %d it has no origin", n)
			}
			e.Kill()
		}
	})
}
