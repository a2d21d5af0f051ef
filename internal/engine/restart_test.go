package engine

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/fork"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestRestartedRunKeepsQueuePosition restarts and forks a run whose concurrency key another run holds. Each
// of them waits for its turn, also after a crash.
func TestRestartedRunKeepsQueuePosition(t *testing.T) {
	t.Parallel()
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		kv := mem.New()
		e := open(t, kv, Options{})
		p := flawless.QueueOptions{Key: "customer", Limit: 1, Priority: 7}
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "want", Input: input(t, ops(sleeps(1), receives())), ID: "first", Queue: p}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		finish(t, e, "first")
		lineUp(t, e, "second", p)
		synctest.Wait()
		again, err := e.Restart(t.Context(), "first", "again", "")
		if err != nil || again.Queue == nil || *again.Queue != p {
			t.Errorf("restarted it is %+v, %v", again, err)
		}
		mustFork(t, e, "first", Fork{ID: "from-the-start"})
		mustFork(t, e, "first", Fork{ID: "from-later", Turn: 1})
		for _, id := range []string{"from-the-start", "from-later", "again"} {
			mustSend(t, e, id, "go", "1")
		}
		time.Sleep(time.Minute)
		wantRuns(t, e, "while another run has the key", "second", "from-later from-the-start again")
		e.Kill()
		e = open(t, kv, Options{})
		defer e.Kill()
		time.Sleep(time.Minute)
		wantRuns(t, e, "after a crash", "second", "from-later from-the-start again")
		finish(t, e, "second")
		for _, id := range []string{"from-the-start", "from-later", "again"} {
			mustComplete(t, e, id, `"done"`)
		}
	})
}

// TestRestartedRunGetsSameTimeUntilDeadline: a deadline that has passed would cancel it at once.
func TestRestartedRunGetsSameTimeUntilDeadline(t *testing.T) {
	t.Parallel()
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		o := Start{Module: "guest", Workflow: "obey", ID: "first", Deadline: time.Now().Add(time.Hour), Grace: time.Second}
		if _, _, err := e.Start(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		mustEnd(t, e, "first")
		want := time.Now().Add(time.Hour)
		again, err := e.Restart(t.Context(), "first", "again", "")
		if err != nil || again.Deadline == nil || !again.Deadline.Equal(want) {
			t.Errorf("restarted its deadline is %v, %v; want %v", again.Deadline, err, want)
		}
		if fork := mustFork(t, e, "first", Fork{}); fork.Deadline == nil || !fork.Deadline.Equal(want) {
			t.Errorf("forked its deadline is %v; want %v", fork.Deadline, want)
		}
	})
}

func TestRestartUsesRequestedVersion(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		defer e.Kill()
		old, err := e.Module(t.Context(), "guest")
		if err != nil {
			t.Fatal(err)
		}
		newest := addEdition(t, e, fixed)
		for id, version := range map[string]string{"any": "", "pinned": "1"} {
			if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "fail", Input: []byte(`"x"`), ID: id, Version: version}); err != nil {
				t.Fatal(err)
			}
			mustEnd(t, e, id)
		}
		for _, row := range []struct{ of, version, digest string }{
			{"any", "", newest.Digest}, {"any", "1", old[0].Digest}, {"pinned", "", old[0].Digest}, {"pinned", "2", newest.Digest},
		} {
			if r, err := e.Restart(t.Context(), row.of, "", row.version); err != nil || r.Digest != row.digest {
				t.Errorf("run %s with version %q restarts as %.12s, %v; want %.12s", row.of, row.version, r.Digest, err, row.digest)
			}
		}
	})
}

// TestRestartKeepsEveryStartOption goes through all that a log says of how a run was started. A field that is new
// is kept by a restart, a fork and an import, or is listed here as one that each run has of its own.
func TestRestartKeepsEveryStartOption(t *testing.T) {
	t.Parallel()
	const when = 5_000_000
	var old flawless.Start
	fill(reflect.ValueOf(&old).Elem())
	old.Time, old.Deadline = 1000, 8000 // it had 7000 ns
	shifted := map[string]any{"Deadline": int64(when + 7000)}

	m := flawless.Module{Name: old.Module, Digest: "new"}
	o := again(old, time.Unix(0, when))
	wantTerms(t, "a restart", old, *o.logged(m, []byte("new"), when, "new"), shifted,
		"Digest", "Seed", "Time", "URL", // made anew
		"Keyed",          // how the store has the input
		"Parent", "Call", // nobody spawned it
		"Schedule",     // a person started it
		"Lost",         // the database has lost that run
		"Of", "Origin") // Restart sets the first

	wantTerms(t, "a fork", old, fork.Start(old, "new", "old", 0, when), shifted, "Digest", "Origin")

	_, entries := new(Engine).imported(bundle.Bundle{Log: []flawless.Record{{Entries: []flawless.Entry{{Start: &old}}}}}, "new")
	wantTerms(t, "an import", old, *entries[0].Start, nil, "Origin")
}

// fill gives every field of a struct a value of its own.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() { // a time's are its own
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b"}))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(`"old"`))
		}
	case reflect.String:
		v.SetString("old")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(3)
	}
}

// wantTerms compares two starts: the fields of changed have those values, those of own are not compared, and
// all others are equal.
func wantTerms(t *testing.T, what string, old, got flawless.Start, changed map[string]any, own ...string) {
	t.Helper()
	skip := map[string]bool{}
	for _, name := range own {
		skip[name] = true
	}
	a, b := reflect.ValueOf(old), reflect.ValueOf(got)
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		want := a.Field(i).Interface()
		if v, ok := changed[name]; ok {
			want = v
		}
		if have := b.Field(i).Interface(); !skip[name] && !reflect.DeepEqual(have, want) {
			t.Errorf("%s has the %s %v, want %v", what, name, have, want)
		}
	}
}
