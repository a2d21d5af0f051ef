package engine

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/retention"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func TestEndedRunsAreRemoved(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		mustStart(t, e, "empty", 1, "early")
		mustStart(t, e, "obey", nil, "open")
		child := Start{Module: "guest", Workflow: "empty", Input: []byte("7"), ID: "child", parent: "open", call: 2}
		if _, _, err := e.Start(t.Context(), child); err != nil {
			t.Fatal(err)
		}
		made := mustStart(t, e, "empty", 1, "").ID
		time.Sleep(20 * 24 * time.Hour)
		mustStart(t, e, "empty", 2, "late")
		time.Sleep(10*24*time.Hour + time.Hour)
		synctest.Wait()
		if got := strings.Join(runsOf(t, e), " "); got != "child open late" && got != "open child late" {
			t.Errorf("after 30 days there are %s", got)
		}
		for item, err := range kv.Scan(t.Context(), store.Range{}) {
			if key := string(item.Key); err != nil || strings.Contains(key, made) || strings.Contains(key, "early") && key[0] != 'K' {
				t.Errorf("%q is left, %v", key, err)
			}
		}
		if _, err := e.Run(t.Context(), "early"); !errors.Is(err, flawless.NotFound) {
			t.Errorf("the run that was removed: %v", err)
		}

		for range 2 { // its key is not given to another run, also after a restart
			r, started, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Input: []byte(" 1"), ID: "early"})
			if err != nil || started || r.Status != flawless.Completed {
				t.Errorf("its id again: %+v %v %v", r, started, err)
			}
			for name, s := range map[string]Start{
				"another input":    {Module: "guest", Workflow: "empty", Input: []byte("2"), ID: "early"},
				"another workflow": {Module: "guest", Workflow: "obey", Input: []byte("1"), ID: "early"},
			} {
				if _, _, err := e.Start(t.Context(), s); !errors.Is(err, flawless.Conflict) {
					t.Errorf("its id with %s: %v", name, err)
				}
			}
			e.Kill()
			e = open(t, kv, Options{})
		}

		if _, err := e.Terminate(t.Context(), "open", flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(runsOf(t, e), " "); got != "open late" {
			t.Errorf("when the parent has ended there are %s", got)
		}
		e.Kill()
	})
}

func TestRetentionIsPerModule(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		set := func(ms int64) {
			t.Helper()
			if _, err := e.ChangeSettings(t.Context(), "guest", func(s *flawless.Settings) { s.RetentionMS = ms }); err != nil {
				t.Fatal(err)
			}
		}
		set(-1)
		mustStart(t, e, "empty", 1, "a")
		time.Sleep(40 * 24 * time.Hour)
		if got := runsOf(t, e); len(got) != 1 {
			t.Errorf("a run that is kept forever is gone")
		}
		mustStart(t, e, "empty", 1, "b")
		set((2 * time.Hour).Milliseconds())
		time.Sleep(time.Hour)
		e.Kill()
		e = open(t, kv, Options{})
		if got := strings.Join(runsOf(t, e), " "); got != "b" {
			t.Errorf("after an hour there are %s", got)
		}
		time.Sleep(2 * time.Hour)
		if got := runsOf(t, e); len(got) != 0 {
			t.Errorf("after three hours there are %s", got)
		}
		e.Kill()
	})
}

func TestInvalidSettingsAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for name, change := range map[string]func(*flawless.Settings){
		"a negative retention": func(s *flawless.Settings) { s.RetentionMS = -2 },
		"a retention of ages":  func(s *flawless.Settings) { s.RetentionMS = 1 << 60 },
		"a negative cap":       func(s *flawless.Settings) { s.Concurrency = -1 },
		"fewer than no turns":  func(s *flawless.Settings) { s.KeepTurns = -1 },
		"a cap that is none":   func(s *flawless.Settings) { s.Concurrency = 1 << 40 },
	} {
		if _, err := e.ChangeSettings(t.Context(), "guest", change); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.ChangeSettings(t.Context(), "nobody", func(*flawless.Settings) {}); !errors.Is(err, flawless.NotFound) {
		t.Errorf("no such module: %v", err)
	}
	if s, err := e.Settings(t.Context(), "guest"); err != nil || s != (flawless.Settings{Module: "guest"}) {
		t.Errorf("they are %+v, %v", s, err)
	}
}

// TestRetentionWorksOnFrequentRestarts: each time it is killed after half a minute.
func TestRetentionWorksOnFrequentRestarts(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		for n := range 2*retention.Page + 50 { // pages, with pauses between
			mustStart(t, e, "empty", n, "")
		}
		synctest.Wait()
		e.Kill()
		time.Sleep(31 * 24 * time.Hour)
		e = open(t, kv, Options{})
		time.Sleep(retention.First - time.Second)
		synctest.Wait()
		if got := runsOf(t, e); len(got) != 2*retention.Page+50 {
			t.Errorf("the start already removed some: %d are left", len(got))
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := runsOf(t, e); len(got) > 0 {
			t.Errorf("after half a minute %d runs are left", len(got))
		}
		e.Kill()
	})
}
