package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestQuarantineByThisServerEndsWithIt: what a server refuses, the next one may run, so it tries once. What is wrong with a
// run itself stays wrong, and would only make every start slower.
func TestQuarantineByThisServerEndsWithIt(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why   flawless.Code
		again bool
	}{{flawless.Refused, true}, {flawless.Diverged, false}, {flawless.Damaged, false}, {flawless.Conflict, false}} {
		t.Run(string(row.why), func(t *testing.T) {
			t.Parallel()
			kv := mem.New()
			e := open(t, kv, Options{})
			mustStart(t, e, "mailbox", 1, "run")
			until(t, e, "run", func(r flawless.Run) bool { return r.Turns >= 2 && r.Status == flawless.Waiting })
			r, err := e.runs.Acquire(t.Context(), "run")
			if err != nil {
				t.Fatal(err)
			}
			r.Quarantine(fmt.Errorf("its guest cannot be made: %w", row.why))
			r.Release()
			e.Kill()
			s, err := store.Open(t.Context(), kv)
			if err != nil {
				t.Fatal(err)
			}
			active := false
			for id, err := range s.Active(t.Context(), store.AllShards()) {
				if active = active || id == "run"; err != nil {
					t.Fatal(err)
				}
			}
			if active != row.again {
				t.Errorf("that a restart must examine it is %v", active)
			}

			e = open(t, kv, Options{})
			want := flawless.Unresolved
			if row.again {
				want = flawless.Waiting
			}
			found := until(t, e, "run", func(flawless.Run) bool {
				page, _, err := e.Runs(t.Context(), flawless.Filter{Status: []flawless.Status{want}})
				if err != nil {
					t.Fatal(err)
				}
				return slices.ContainsFunc(page, func(r flawless.Run) bool { return r.ID == "run" && (r.Problem == "") == row.again })
			})
			if found.Status != want {
				t.Errorf("it is %+v", found)
			}
		})
	}
}
