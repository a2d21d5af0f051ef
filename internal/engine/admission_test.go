package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// lineUp starts a run of the workflow that waits for a cancellation, at a queue position.
func lineUp(t *testing.T, e *Engine, id string, p flawless.QueueOptions) {
	t.Helper()
	time.Sleep(time.Second)
	if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "obey", ID: id, Queue: p}); err != nil {
		t.Fatal(err)
	}
}

// finish ends a run, and returns when the run that could begin instead has begun.
func finish(t *testing.T, e *Engine, id string) {
	t.Helper()
	if _, err := e.Terminate(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func begun(t *testing.T, e *Engine) string { return strings.Join(runsOf(t, e, flawless.Waiting), " ") }

func pendingRuns(t *testing.T, e *Engine) string {
	return strings.Join(runsOf(t, e, flawless.Pending), " ")
}

func wantRuns(t *testing.T, e *Engine, when, running, pending string) {
	t.Helper()
	synctest.Wait()
	if a, b := begun(t, e), pendingRuns(t, e); a != running || b != pending {
		t.Errorf("%s: begun are %q, pending %q; want %q and %q", when, a, b, running, pending)
	}
}

func TestConcurrencyKeyLimitsRuns(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		p := flawless.QueueOptions{Key: "customer-7", Limit: 2}
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			lineUp(t, e, id, p)
		}
		p.Priority = 5
		lineUp(t, e, "urgent", p)
		lineUp(t, e, "other", flawless.QueueOptions{Key: "customer-8"})
		lineUp(t, e, "free", flawless.QueueOptions{})
		wantRuns(t, e, "at first", "a b other free", "c d e urgent")
		finish(t, e, "b")
		wantRuns(t, e, "when b has ended", "a urgent other free", "c d e")
		e.Kill()
		e = open(t, kv, Options{})
		wantRuns(t, e, "after a restart", "a urgent other free", "c d e")
		finish(t, e, "d") // it never began
		finish(t, e, "a")
		wantRuns(t, e, "when a has ended", "c urgent other free", "e")
		e.Kill()
		e = open(t, kv, Options{})
		finish(t, e, "c")
		finish(t, e, "urgent")
		wantRuns(t, e, "at last", "e other free", "")
		if _, err := e.Cancel(t.Context(), "e", flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
		e.Kill()
	})
}

func TestModuleConcurrencyLimitsRuns(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		limit := func(n int) {
			t.Helper()
			if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = n }); err != nil {
				t.Fatal(err)
			}
		}
		lineUp(t, e, "a", flawless.QueueOptions{})
		lineUp(t, e, "b", flawless.QueueOptions{})
		lineUp(t, e, "c", flawless.QueueOptions{})
		limit(2)
		lineUp(t, e, "d", flawless.QueueOptions{})
		lineUp(t, e, "e", flawless.QueueOptions{Priority: 1})
		lineUp(t, e, "f", flawless.QueueOptions{Key: "k"})
		lineUp(t, e, "g", flawless.QueueOptions{Key: "k"})
		wantRuns(t, e, "under a cap that came late", "a b c", "d e f g")
		finish(t, e, "a")
		wantRuns(t, e, "when one of three has ended", "b c", "d e f g")
		finish(t, e, "b")
		wantRuns(t, e, "when two have ended", "c e", "d f g")
		e.Kill()
		e = open(t, kv, Options{})
		wantRuns(t, e, "after a restart", "c e", "d f g")
		limit(5)
		wantRuns(t, e, "under a wider cap", "c d e f", "g")
		finish(t, e, "f")
		wantRuns(t, e, "when the key is free", "c d e g", "")
		limit(1)
		lineUp(t, e, "h", flawless.QueueOptions{})
		wantRuns(t, e, "under a narrow cap", "c d e g", "h")
		limit(0)
		wantRuns(t, e, "without a cap", "c d e g h", "")
		e.Kill()
	})
}

// TestPriorityPrecedesConcurrencyKey: c waits for its key since before the module was full, urgent
// for both.
func TestPriorityPrecedesConcurrencyKey(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = 3 }); err != nil {
			t.Fatal(err)
		}
		p := flawless.QueueOptions{Key: "k", Limit: 2}
		for _, id := range []string{"a", "b", "c"} {
			lineUp(t, e, id, p)
		}
		lineUp(t, e, "free", flawless.QueueOptions{})
		p.Priority = 5
		lineUp(t, e, "urgent", p)
		lineUp(t, e, "last", flawless.QueueOptions{})
		wantRuns(t, e, "at first", "a b free", "c urgent last")
		finish(t, e, "free")
		wantRuns(t, e, "when the module has room and the key has none", "a b last", "c urgent")
		finish(t, e, "a")
		wantRuns(t, e, "when the key has room", "b urgent last", "c")
		finish(t, e, "b")
		wantRuns(t, e, "when it has again", "c urgent last", "")
	})
}

// TestConcurrencyCapHoldsForManyRuns: never more than the cap at once, and all of them end.
func TestConcurrencyCapHoldsForManyRuns(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		const runs, limit = 60, 3
		for i := range runs {
			in := Start{Module: "guest", Workflow: "sleep", Input: []byte("1"), ID: fmt.Sprint("r", i), Queue: flawless.QueueOptions{Key: "k", Limit: limit}}
			if _, _, err := e.Start(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		for day := 0; ; day++ {
			synctest.Wait()
			n := len(runsOf(t, e, flawless.Waiting))
			if n > limit {
				t.Fatalf("on day %d there are %d at once", day, n)
			}
			if n == 0 {
				break
			}
			if n < limit {
				t.Errorf("on day %d there are only %d at once", day, n)
			}
			if day == 7 {
				e.Kill()
				e = open(t, kv, Options{})
			}
			time.Sleep(24*time.Hour + time.Minute)
		}
		if n := len(runsOf(t, e, flawless.Completed)); n != runs {
			t.Errorf("%d runs have ended", n)
		}
		if !e.caps.Empty() {
			t.Error("admission still knows of runs")
		}
		e.Kill()
	})
}

func TestInvalidQueuePositionsAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for name, p := range map[string]flawless.QueueOptions{
		"a cap without a key":   {Limit: 3},
		"a negative cap":        {Key: "k", Limit: -1},
		"a key of two lines":    {Key: "a\nb"},
		"a long key":            {Key: strings.Repeat("k", 201)},
		"a priority of its own": {Priority: 1001},
	} {
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Queue: p}); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unhurried is an outside whose exchanges take ten seconds.
type unhurried struct{ exchanges }

func (b *unhurried) kinds() []effect.Kind {
	kinds := b.exchanges.kinds()
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			answer := kinds[i].Perform
			kinds[i].Perform = func(ctx context.Context, t effect.Attempt) effect.Result {
				r := answer(ctx, t)
				select {
				case <-time.After(10 * time.Second):
				case <-ctx.Done():
				}
				return r
			}
		}
	}
	return kinds
}

// TestParentsDoNotUseUpConcurrency: runs whose children are of the same module, under every cap, with a server
// that dies now and then. All end, and no more than the cap are under way that do not wait for a child.
func TestParentsDoNotUseUpConcurrency(t *testing.T) {
	for _, limit := range []int{1, 2, 3} {
		for _, deaths := range []int{0, 30} {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				kv := mem.New()
				e := open(t, kv, Options{})
				if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = limit }); err != nil {
					t.Fatal(err)
				}
				const clans, generations, members = 3, 3, 15
				for i := range clans {
					if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "clan", Input: input(t, generations), ID: fmt.Sprint("clan", i)}); err != nil {
						t.Fatal(err)
					}
				}
				for range deaths {
					time.Sleep(17 * time.Minute)
					e.Kill()
					e = open(t, kv, Options{})
				}
				for i := range clans {
					if r := mustEndAfter(t, e, fmt.Sprint("clan", i), 30*time.Hour); string(r.Output) != fmt.Sprint(members) {
						t.Errorf("with a cap of %d clan %d is %+v %+v", limit, i, r, r.Failure)
					}
				}
				synctest.Wait()
				runs, _, err := e.Runs(t.Context(), flawless.Filter{Limit: 1000})
				if err != nil || len(runs) != clans*members {
					t.Fatalf("%d runs, %v", len(runs), err)
				}
				if n := working(t, e, runs); n > limit || deaths == 0 && n < limit {
					t.Errorf("with a cap of %d at most %d were under way that waited for no child", limit, n)
				}
				if !e.caps.Empty() {
					t.Error("admission still knows of runs")
				}
				e.Kill()
			})
		}
	}
}

// working returns how many runs at most were under way at once that waited for no child which was.
func working(t *testing.T, e *Engine, runs []flawless.Run) (most int) {
	t.Helper()
	begun := map[string]time.Time{}
	for _, r := range runs {
		log, err := e.Log(t.Context(), r.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		begun[r.ID] = begin(log)
	}
	for _, one := range runs {
		at := begun[one.ID]
		alive := map[string]bool{}
		for _, r := range runs {
			if !begun[r.ID].After(at) && r.Ended.After(at) {
				alive[r.ID] = true
			}
		}
		waits := map[string]bool{}
		for _, r := range runs {
			if alive[r.ID] {
				waits[r.Parent] = true
			}
		}
		n := 0
		for id := range alive {
			if !waits[id] {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// begin returns when a run took its first turn.
func begin(log []flawless.Record) (at time.Time) {
	for _, rec := range log {
		for _, en := range rec.Entries {
			if en.Turn != nil && en.Turn.N == 1 {
				at = time.Unix(0, en.Turn.Time)
			}
		}
	}
	return at
}

// passage is what is known of a run at the end.
type passage struct {
	Start
	accepted, begun, ended time.Time // by its log
	first, last            time.Time // exchange, as the outside saw them
}

// before reports whether a run goes before another that waits for the same.
func (p passage) before(q passage) bool {
	if p.Queue.Priority != q.Queue.Priority {
		return p.Queue.Priority > q.Queue.Priority
	}
	return p.accepted.Before(q.accepted)
}

func passageOf(t *testing.T, e *Engine, b *unhurried, s Start) passage {
	t.Helper()
	r, err := e.Run(t.Context(), s.ID)
	if err != nil || r.Status != flawless.Completed {
		t.Fatalf("run %s is %+v %+v, %v", s.ID, r, r.Failure, err)
	}
	p := passage{Start: s, accepted: r.Created, ended: *r.Ended}
	log, err := e.Log(t.Context(), s.ID, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.begun = begin(log)
	for i, id := range b.runs {
		if id == s.ID {
			if p.last = b.at[i]; p.first.IsZero() {
				p.first = p.last
			}
		}
	}
	return p
}

// atOnce returns how many runs were under way at once at most. One that ended when another began was not.
func atOnce(all []passage, span func(passage) (from, to time.Time)) (most int) {
	for _, p := range all {
		at, _ := span(p)
		n := 0
		for _, q := range all {
			if from, to := span(q); !from.After(at) && to.After(at) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestDeathAtEveryWriteOfCappedRuns: the server dies before and after each write of runs that line up
// at the caps of their module and their keys. All of them end, never more than the caps at once are
// under way, by their logs and as the outside sees it, and they begin in their order.
func TestDeathAtEveryWriteOfCappedRuns(t *testing.T) {
	caps := map[string]int{"pair": 2, "one": 1}
	line := []Start{
		{ID: "a", Queue: flawless.QueueOptions{Key: "pair"}},
		{ID: "b", Queue: flawless.QueueOptions{Key: "pair"}},
		{ID: "c", Queue: flawless.QueueOptions{Key: "pair"}},
		{ID: "x", Queue: flawless.QueueOptions{Key: "one"}},
		{ID: "y", Queue: flawless.QueueOptions{Key: "one"}},
		{ID: "free"},
		{ID: "urgent", Queue: flawless.QueueOptions{Key: "pair", Priority: 9}},
		{ID: "z", Queue: flawless.QueueOptions{Key: "one", Priority: 1}},
		{ID: "second"},
	}
	for i := range line {
		line[i].Module, line[i].Workflow, line[i].Queue.Limit = "guest", "chain", caps[line[i].Queue.Key]
		line[i].Input = input(t, map[string]any{"url": "https://api.example.com", "n": 2})
	}
	start := func(t *testing.T, e *Engine) {
		for _, s := range line {
			_, _, _ = e.Start(t.Context(), s) // the server may be dead
			time.Sleep(time.Second)
		}
	}
	check := func(t *testing.T, name string, e *Engine, outside *unhurried, limit int) {
		byKey := map[string][]passage{}
		var all []passage
		for _, s := range line {
			p := passageOf(t, e, outside, s)
			all, byKey[s.Queue.Key] = append(all, p), append(byKey[s.Queue.Key], p)
		}
		byLog := func(p passage) (from, to time.Time) { return p.begun, p.ended }
		seen := func(p passage) (from, to time.Time) { return p.first, p.last }
		if a, b := atOnce(all, byLog), atOnce(all, seen); limit > 0 && max(a, b) > limit {
			t.Errorf("%s: %d runs of the module were under way at once, the outside saw %d", name, a, b)
		}
		for key, some := range byKey {
			if a, b := atOnce(some, byLog), atOnce(some, seen); key != "" && max(a, b) > caps[key] {
				t.Errorf("%s: %d runs of key %s were under way at once, the outside saw %d", name, a, key, b)
			}
			for _, p := range some {
				for _, q := range some {
					if p.before(q) && p.accepted.Before(q.begun) && q.begun.Before(p.begun) {
						t.Errorf("%s: %s began before %s", name, q.ID, p.ID)
					}
				}
			}
		}
		if !e.caps.Empty() {
			t.Errorf("%s: admission still knows of runs", name)
		}
	}
	pace := 1
	if testing.Short() {
		pace = 7
	}
	for _, row := range []struct {
		limit int // of the module, 0 is none
		after bool
	}{{3, false}, {3, true}, {0, false}, {0, true}} {
		limit, after, deaths := row.limit, row.after, 0
		for left, died := 1, true; died; left += pace {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				name := fmt.Sprintf("under a cap of %d, death at write %d, after it %v", limit, left, after)
				kv, outside := mem.New(), &unhurried{}
				e := open(t, kv, Options{})
				if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = limit }); err != nil {
					t.Fatal(err)
				}
				e.Kill()
				dying := newMortal(kv, left, after)
				if e, err := tryOpen(t, dying, Options{Kinds: outside.kinds()}); err == nil {
					start(t, e)
					for k := 0; k < 300 && !dying.isDead(); k++ {
						time.Sleep(time.Second)
					}
					e.Kill()
				}
				if died = dying.isDead(); died {
					deaths++
				}
				e, err := tryOpen(t, kv, Options{Kinds: outside.kinds()})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				defer e.Kill()
				start(t, e)
				for k := 0; len(runsOf(t, e, flawless.Completed)) < len(line); k++ {
					if k == 600 {
						t.Fatalf("%s: there are %v and %v left", name, runsOf(t, e, flawless.Pending), runsOf(t, e, flawless.OpenStatuses...))
					}
					decide(t, e, outside)
					time.Sleep(time.Second)
				}
				synctest.Wait()
				check(t, name, e, outside, limit)
			})
		}
		if deaths < 4 || !testing.Short() && deaths < 30 {
			t.Errorf("it died at %d writes only: the test proves nothing", deaths)
		}
	}
}

// decide says about each call of unknown outcome what the outside knows.
func decide(t *testing.T, e *Engine, outside *unhurried) {
	t.Helper()
	for _, id := range runsOf(t, e, flawless.Unresolved) {
		r, err := e.Run(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, doubt := range r.Unresolved {
			d := flawless.Decision{Call: doubt.Call, Resolution: flawless.Retry}
			if outside.saw(id, doubt.Call) {
				d = flawless.Decision{Call: doubt.Call, Resolution: flawless.Respond, Body: []byte("ok")}
			}
			if _, err := e.Resolve(t.Context(), id, d); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRunPausedBeforeItBeginsLeavesQueue: also after a restart.
func TestRunPausedBeforeItBeginsLeavesQueue(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		pause := func(id string, p flawless.Pause) {
			t.Helper()
			if _, err := e.Pause(t.Context(), id, p); err != nil {
				t.Fatal(err)
			}
		}
		p := flawless.QueueOptions{Key: "k", Limit: 1}
		lineUp(t, e, "a", p)
		lineUp(t, e, "b", p)
		pause("a", flawless.Pause{})
		pause("b", flawless.Pause{})
		e.Kill()
		e = open(t, kv, Options{})
		defer func() { e.Kill() }()
		pause("b", flawless.Pause{Resume: true})
		wantRuns(t, e, "after a restart", "", "b")
		pause("a", flawless.Pause{Resume: true})
		wantRuns(t, e, "when both go on", "a", "b")
		finish(t, e, "a")
		wantRuns(t, e, "when a has ended", "b", "")
	})
}

// interrupted is a database in which something happens once, just after what lies under a key was read.
type interrupted struct {
	store.KV
	key  string
	then atomic.Pointer[func()]
}

func (i *interrupted) Get(ctx context.Context, key []byte) ([]byte, error) {
	v, err := i.KV.Get(ctx, key)
	if strings.Contains(string(key), i.key) {
		if then := i.then.Swap(nil); then != nil {
			(*then)()
		}
	}
	return v, err
}

// TestRunEndingWhileItIsReadLeavesQueue: between the reading of it and the taking in.
func TestRunEndingWhileItIsReadLeavesQueue(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := &interrupted{KV: mem.New(), key: "brief"}
		e := open(t, kv, Options{})
		defer e.Kill()
		lineUp(t, e, "brief", flawless.QueueOptions{})
		wantRuns(t, e, "without a cap", "brief", "")
		end := func() { finish(t, e, "brief") }
		kv.then.Store(&end)
		if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.Concurrency = 1 }); err != nil {
			t.Fatal(err)
		}
		if kv.then.Load() != nil {
			t.Fatal("the run was not read: the test proves nothing")
		}
		lineUp(t, e, "next", flawless.QueueOptions{})
		wantRuns(t, e, "under a cap", "next", "")
	})
}

// TestRefusedStartLeavesQueue: it has passed the gate of its key when it turns out that its id
// is that of a run which has ended.
func TestRefusedStartLeavesQueue(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		begin := func(id, in string) Start {
			return Start{Module: "guest", Workflow: "empty", ID: id, Input: []byte(in), Queue: flawless.QueueOptions{Key: "k", Limit: 1}}
		}
		if _, _, err := e.Start(t.Context(), begin("x", "1")); err != nil {
			t.Fatal(err)
		}
		mustEnd(t, e, "x")
		if _, _, err := e.Start(t.Context(), begin("x", "2")); !errors.Is(err, flawless.Conflict) {
			t.Errorf("another input: %v", err)
		}
		synctest.Wait()
		if n := e.caps.Count(); n > 0 {
			t.Errorf("after another input admission knows of %d runs", n)
		}
		e.caps.Leave(admit.Run{ID: "x"})
		o := begin("x", "1")
		r, err := e.begin(t.Context(), &o)
		if err != nil {
			t.Fatal(err)
		}
		impatient, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, _ = e.accepted(impatient, r, o)
		synctest.Wait()
		if n := e.caps.Count(); n > 0 {
			t.Errorf("after somebody who did not wait admission knows of %d runs", n)
		}
	})
}
