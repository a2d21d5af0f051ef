package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

func addEdition(t *testing.T, e *Engine, bin []byte) flawless.Module {
	t.Helper()
	m, _, err := e.AddModule(context.Background(), "guest", bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustUpgrade(t *testing.T, e *Engine, o Upgrade) flawless.ModuleUpgrade {
	t.Helper()
	u, err := e.Upgrade(context.Background(), "guest", o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOpenRunsMoveToFixedCode(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{Kinds: echoing(nil), Freezing: Freezing{Units: 1}})
		asleep(t, e, "bad", 0)
		asleep(t, e, "good", 4)
		mustStart(t, e, "empty", 1, "ended")
		time.Sleep(time.Hour) // they leave memory
		m := addEdition(t, e, fixed)
		if m.Version != 2 {
			t.Fatalf("it is version %d", m.Version)
		}
		if _, err := e.RemoveModule(context.Background(), "guest", 1); !errors.Is(err, flawless.Conflict) {
			t.Errorf("removing what runs need: %v", err)
		}
		dry := mustUpgrade(t, e, Upgrade{DryRun: true})
		if dry.Continue != 2 || dry.Moved != 0 || dry.Already != 0 {
			t.Errorf("only looked at: %+v", dry)
		}
		u := mustUpgrade(t, e, Upgrade{AllOrNothing: true, Who: "ann"})
		if u.Continue != 2 || u.Moved != 2 || u.Diverge != 0 {
			t.Errorf("the report is %+v", u)
		}
		if again := mustUpgrade(t, e, Upgrade{}); again.Already != 2 || len(again.Runs) != 0 {
			t.Errorf("upgraded again: %+v", again)
		}
		if _, err := e.RemoveModule(context.Background(), "guest", 1); err != nil {
			t.Errorf("removing what nobody needs: %v", err)
		}
		e.Kill()
		e, err := reopen(t, kv, Options{Kinds: echoing(nil)})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Kill()
		for id, want := range map[string]string{"bad": `"100 did /last"`, "good": `"25 did /last"`} {
			r, err := e.Wait(context.Background(), id)
			if err != nil || string(r.Output) != want || r.Digest != m.Digest {
				t.Errorf("run %s became %+v, %v", id, r, err)
			}
			if got, err := e.Replay(context.Background(), id, nil); err != nil || got.Divergence != nil || !got.Own {
				t.Errorf("replayed %s: %+v %v, %v", id, got, got.Divergence, err)
			}
		}
	})
}

func TestDivergingRunsStayOnOldVersion(t *testing.T) {
	bins := map[string][]byte{"other": edition(t, "other"), "reordered": edition(t, "reordered")}
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer e.Kill()
		asleep(t, e, "asleep", 1)
		mustStart(t, e, "obey", nil, "obeys")
		synctest.Wait()
		tried := mustUpgrade(t, e, Upgrade{DryRun: true, Module: bins["other"]})
		if short := mustUpgrade(t, e, Upgrade{DryRun: true, Module: bins["other"], Limit: 1}); short.Continue != 1 || short.Diverge != 1 || len(short.Runs) != 1 || short.Runs[0].Run != "asleep" || short.LeftOut != 1 || tried.LeftOut != 0 {
			t.Errorf("a report that names one run is %+v", short)
		}
		if _, err := e.Upgrade(t.Context(), "guest", Upgrade{DryRun: true, Limit: -1}); !errors.Is(err, flawless.Invalid) {
			t.Errorf("a report of less than no run: %v", err)
		}
		if tried.Continue != 1 || tried.Diverge != 1 || tried.Version != 0 || tried.Runs[0].Run != "asleep" || tried.Runs[0].Divergence == nil {
			t.Errorf("tried: %+v", tried)
		}
		addEdition(t, e, bins["other"])
		if u := mustUpgrade(t, e, Upgrade{AllOrNothing: true}); u.Moved != 0 || u.Diverge != 1 {
			t.Errorf("all or nothing: %+v", u)
		}
		if u := mustUpgrade(t, e, Upgrade{Runs: []string{"obeys"}}); u.Moved != 1 || len(u.Runs) != 1 {
			t.Errorf("one run: %+v", u)
		}
		if u := mustUpgrade(t, e, Upgrade{}); u.Moved != 0 || u.Diverge != 1 || u.Already != 1 {
			t.Errorf("those that can: %+v", u)
		}
		addEdition(t, e, bins["reordered"])
		if u := mustUpgrade(t, e, Upgrade{From: 2}); u.Moved != 1 || len(u.Runs) != 1 || u.Runs[0].Run != "obeys" {
			t.Errorf("of one version: %+v", u)
		}
		if u := mustUpgrade(t, e, Upgrade{}); u.Moved != 1 {
			t.Errorf("with calls in another order: %+v", u)
		}
		r, err := e.Wait(context.Background(), "asleep")
		if err != nil || string(r.Output) != `"100 did /last"` {
			t.Errorf("it became %+v, %v", r, err)
		}
	})
}

func TestImpossibleUpgradesAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "empty", 1, "ended")
	mustEnd(t, e, "ended")
	for name, row := range map[string]struct {
		module string
		o      Upgrade
		code   flawless.Code
	}{
		"no such module":    {"none", Upgrade{}, flawless.NotFound},
		"no such version":   {"guest", Upgrade{From: 7}, flawless.NotFound},
		"no such run":       {"guest", Upgrade{Runs: []string{"none"}}, flawless.NotFound},
		"a run that ended":  {"guest", Upgrade{Runs: []string{"ended"}}, flawless.Conflict},
		"code not added":    {"guest", Upgrade{Module: fixture().bin}, flawless.Invalid},
		"code that is none": {"guest", Upgrade{Module: []byte("x"), DryRun: true}, flawless.Invalid},
	} {
		if _, err := e.Upgrade(t.Context(), row.module, row.o); !errors.Is(err, row.code) {
			t.Errorf("%s: %v, want %s", name, err, row.code)
		}
	}
	if _, err := e.RemoveModule(t.Context(), "none", 0); !errors.Is(err, flawless.NotFound) {
		t.Errorf("removing a module that there is not: %v", err)
	}
	if _, err := e.RemoveModule(t.Context(), "guest", 9); !errors.Is(err, flawless.NotFound) {
		t.Errorf("removing a version that there is not: %v", err)
	}
}

// TestSeizedRunHasNoSlot has a second run wait for the only slot before it can be seized.
func TestSeizedRunHasNoSlot(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Live: 1, Rest: time.Hour})
		defer e.Kill()
		mustStart(t, e, "mailbox", 1, "second")
		synctest.Wait()
		time.Sleep(time.Second)
		mustStart(t, e, "mailbox", 1, "first")
		time.Sleep(time.Second)
		first, err := e.runs.Seize(context.Background(), "first")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Send(context.Background(), "second", flawless.Message{Type: "number", Body: []byte("7")}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		second, err := e.runs.Seize(ctx, "second")
		if err != nil {
			t.Errorf("it cannot be seized: %v", err)
		} else {
			second.Release()
		}
		first.Release()
		if r, err := e.Wait(context.Background(), "second"); err != nil || string(r.Output) != "[7]" {
			t.Errorf("it is %+v, %v", r, err)
		}
	})
}

// TestModuleOfNewRunIsNotRemoved: the store does not have the run yet.
func TestModuleOfNewRunIsNotRemoved(t *testing.T) {
	t.Parallel()
	kv := &holding{KV: mem.New(), row: rowOf('r', "run"), held: make(chan struct{}), goOn: make(chan struct{})}
	e := open(t, kv, Options{})
	started := make(chan error, 1)
	go func() {
		_, _, err := e.Start(context.Background(), Start{Module: "guest", Workflow: "mailbox", Input: []byte("1"), ID: "run"})
		started <- err
	}()
	<-kv.held
	if _, err := e.RemoveModule(t.Context(), "guest", 0); !errors.Is(err, flawless.Conflict) {
		t.Errorf("removing what it needs: %v", err)
	}
	close(kv.goOn)
	if err := <-started; err != nil {
		t.Error(err)
	}
}

// holding is a database where the first write of a row waits.
type holding struct {
	store.KV
	row        []byte // what its key begins with
	once       sync.Once
	held, goOn chan struct{}
}

func (h *holding) Apply(ctx context.Context, b *store.Batch) error {
	if slices.ContainsFunc(b.Set, func(i store.Item) bool { return bytes.HasPrefix(i.Key, h.row) }) {
		h.once.Do(func() { close(h.held); <-h.goOn })
	}
	return h.KV.Apply(ctx, b)
}

// TestUpgradeSurvivesEveryCrash kills the server before and after each write of an upgrade of three
// runs: each is on one side or the other, and upgrading again moves the rest.
func TestUpgradeSurvivesEveryCrash(t *testing.T) {
	fixed := edition(t, "fixed")
	for _, when := range []storetest.When{storetest.Before, storetest.After} {
		for n := 1; n <= 3; n++ {
			inVirtualTime(t, func(t *testing.T) {
				var mu sync.Mutex
				seen := map[string]int{}
				kinds := echoing(func(path string) { mu.Lock(); defer mu.Unlock(); seen[path]++ })
				db := mem.New()
				e := open(t, db, Options{Kinds: kinds})
				for k := range 3 {
					asleep(t, e, fmt.Sprint("run", k), 0)
				}
				addEdition(t, e, fixed)
				e.Kill()
				dying := storetest.Dying(db, n+1, when, nil) // the lease is the first write
				e, err := reopen(t, dying, Options{Kinds: kinds})
				if err != nil {
					t.Fatal(err)
				}
				first, err := e.Upgrade(context.Background(), "guest", Upgrade{Parallel: 1})
				e.Kill()
				if !dying.Died() {
					t.Fatalf("%d writes were too few: %v, %d moved", n, err, first.Moved)
				}
				if e, err = reopen(t, db, Options{Kinds: kinds}); err != nil {
					t.Fatal(err)
				}
				defer e.Kill()
				u := mustUpgrade(t, e, Upgrade{})
				want := 3 - n
				if when == storetest.Before {
					want++
				}
				if u.Moved != want || u.Already != 3-want {
					t.Errorf("killed at write %d: %+v", n, u)
				}
				for k := range 3 {
					r, err := e.Wait(context.Background(), fmt.Sprint("run", k))
					if err != nil || r.Status != flawless.Completed {
						t.Errorf("killed at write %d: it became %+v, %v", n, r, err)
					}
				}
				for _, path := range []string{"/left", "/right", "/last"} {
					if seen[path] != 3 {
						t.Errorf("killed at write %d: %d calls of %s", n, seen[path], path)
					}
				}
			})
		}
	}
}

// TestUpgradeOfActiveRuns upgrades back and forth while runs continue.
func TestUpgradeOfActiveRuns(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	lines := edition(t, "lines")
	e := open(t, mem.New(), Options{})
	addEdition(t, e, lines)
	addEdition(t, e, fixture().bin)
	const runs = 4
	for k := range runs {
		mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 60}, fmt.Sprint("run", k))
	}
	moved := 0
	for k := range 6 {
		bin := [][]byte{lines, fixture().bin}[k%2]
		if _, _, err := e.AddModule(t.Context(), "guest", bin, nil); err != nil {
			t.Fatal(err)
		}
		u, err := e.Upgrade(t.Context(), "guest", Upgrade{AllOrNothing: k%3 == 2})
		if err != nil {
			t.Fatal(err)
		}
		if u.Diverge+u.Undecided > 0 {
			t.Errorf("upgrade %d: %+v", k, u)
		}
		moved += u.Moved
	}
	for k := range runs {
		r := mustEnd(t, e, fmt.Sprint("run", k))
		if string(r.Output) != "60" {
			t.Errorf("it became %+v", r)
		}
		if got, err := e.Replay(t.Context(), r.ID, nil); err != nil || got.Divergence != nil {
			t.Errorf("replayed: %+v %v, %v", got, got.Divergence, err)
		}
	}
	if n := out.count("/once"); n != runs*60 {
		t.Errorf("the outside saw %d calls", n)
	}
	t.Logf("%d runs were moved while they went on", moved)
}

// TestUpgradeMovesQuarantinedRun upgrades a run that diverged from its own code.
func TestUpgradeMovesQuarantinedRun(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer e.Kill()
		asleep(t, e, "run", 0)
		r, err := e.runs.Acquire(context.Background(), "run")
		if err != nil {
			t.Fatal(err)
		}
		r.Quarantine(errors.New("it asked for something else"))
		r.Release()
		if r, err := e.Run(context.Background(), "run"); err != nil || r.Status != flawless.Unresolved || r.Problem == "" {
			t.Fatalf("it is %+v, %v", r, err)
		}
		addEdition(t, e, fixed)
		if u := mustUpgrade(t, e, Upgrade{}); u.Moved != 1 {
			t.Errorf("the report is %+v", u)
		}
		run, err := e.Wait(context.Background(), "run")
		if err != nil || run.Status != flawless.Completed || run.Problem != "" {
			t.Errorf("it became %+v, %v", run, err)
		}
	})
}

// guarded calls at before each Apply.
type guarded struct {
	store.KV
	at func(b *store.Batch)
}

func (g *guarded) Apply(ctx context.Context, b *store.Batch) error {
	g.at(b)
	return g.KV.Apply(ctx, b)
}

// TestAddingModuleWaitsForRemoval looks that both hold the same lock: the bytes of a module that
// is removed may be those of one that is added.
func TestAddingModuleWaitsForRemoval(t *testing.T) {
	t.Parallel()
	kv := &guarded{KV: mem.New(), at: func(*store.Batch) {}}
	e := open(t, kv, Options{})
	var adds, removals int
	kv.at = func(b *store.Batch) {
		what := &adds
		if len(b.Delete) > 0 {
			what = &removals
		}
		if *what++; !e.library.Busy() {
			t.Error("another may change modules meanwhile")
		}
	}
	m, _, err := e.AddModule(t.Context(), "other", fixture().bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.RemoveModule(t.Context(), "guest", 0); err != nil {
		t.Fatal(err)
	}
	if adds != 1 || removals != 1 {
		t.Errorf("modules were written in %d batches and removed in %d, want 1 and 1", adds, removals)
	}
	if _, err := e.store.Binary(t.Context(), m.Digest); err != nil {
		t.Errorf("the bytes of the other: %v", err)
	}
}
