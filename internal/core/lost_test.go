package core

import (
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestRunOfWhichNothingIsLeft waits for decisions about all of its calls, and ends then. Its id is free again only if none of
// them took effect.
func TestRunOfWhichNothingIsLeft(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		decisions []flawless.Resolution
		want      flawless.Status
		forgotten bool
	}{
		{"none took effect", []flawless.Resolution{flawless.Retry, flawless.Retry}, flawless.Terminated, true},
		{"the first took effect", []flawless.Resolution{flawless.Respond, flawless.Retry}, flawless.Failed, false},
		{"the last took effect", []flawless.Resolution{flawless.Retry, flawless.Tell}, flawless.Failed, false},
		{"a person gives up", []flawless.Resolution{flawless.Fail}, flawless.Failed, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := NewState("order-7.2.13", allKinds())
			take := func(entries []flawless.Entry) {
				for _, e := range entries {
					s.Step(e)
					for _, e := range s.Consequences() {
						s.Step(e)
					}
				}
			}
			take(GoneEntries("order-7.2.13", "m", "w", []Lost{{2, "POST a"}, {1, "POST b"}}, "why", 1))
			if start := s.Start(); start.Parent != "order-7.2" || start.Call != 13 || start.Module != "m" || start.Workflow != "w" {
				t.Errorf("it started as %+v", start)
			}
			forgotten := false
			for i, how := range row.decisions {
				if s.Status() != flawless.Unresolved || s.WantsTurn(1<<60) {
					t.Fatalf("before decision %d it is %s", i, s.Status())
				}
				entries, err := s.Decide(flawless.Decision{Call: i + 1, Resolution: how, Status: 200}, 2)
				if err != nil {
					t.Fatal(err)
				}
				forgotten = s.Forgets(entries)
				take(entries)
			}
			if s.Status() != row.want || forgotten != row.forgotten {
				t.Errorf("it is %s, forgotten: %v", s.Status(), forgotten)
			}
		})
	}
}

// TestDecisionAboutLostCallIsInImages: a run may be frozen between the decision and the call.
func TestDecisionAboutLostCallIsInImages(t *testing.T) {
	t.Parallel()
	w := newScenario(t)
	w.do("turn: sleep 5")
	w.do("lose: 2 3")
	w.do("decide: 2 response")
	again := NewState("run", w.s.kinds)
	if err := again.Restore(w.s.Snapshot()); err != nil {
		t.Fatal(err)
	}
	w.s = again
	if d := w.s.Summary().Unresolved; len(d) != 1 || d[0].Call != 3 || d[0].Request != "POST http://a.example/" {
		t.Errorf("unresolved are %+v", d)
	}
	w.do("decide: 3 retry")
	w.do("late: 60")
	if got := w.do("turn: post, post"); len(got) != 2 || got[0] != "begin 3.1" || got[1] != "2 200" {
		t.Errorf("then the run makes its calls: %q", got)
	}
}
