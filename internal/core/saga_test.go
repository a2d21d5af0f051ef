package core

import (
	"slices"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// TestResolveFailNamesOpenSteps: a person resolves a call with fail.
func TestResolveFailNamesOpenSteps(t *testing.T) {
	t.Parallel()
	s := NewState("r", allKinds())
	stepped(t, s, flawless.Entry{Turn: &flawless.Turn{N: 1, Steps: []flawless.Step{{N: 1, Name: "a"}, {N: 2, Name: "b"}, {N: 3, Name: "c"}},
		Calls: []flawless.Call{{N: 2, Kind: effect.HTTP, Head: []byte(`{"method":"POST","url":"http://x.test"}`)}}}})
	stepped(t, s, flawless.Entry{Turn: &flawless.Turn{N: 2, Steps: []flawless.Step{{N: 2}}}})
	stepped(t, s, flawless.Entry{Unknown: &flawless.Unknown{Call: 2, Reason: "why"}})
	entries, err := s.Decide(flawless.Decision{Call: 2, Resolution: flawless.Fail, Note: "no way"}, 1)
	if err != nil || len(entries) != 2 || !strings.HasSuffix(entries[1].End.Failure.Message, "no way; not undone: c, a") {
		t.Errorf("it is %+v, %v", entries, err)
	}
	again := NewState("r", s.kinds)
	if err := again.Restore(s.Snapshot()); err != nil || !slices.Equal(again.steps, s.steps) {
		t.Errorf("from an image the steps are %+v, %v", again.steps, err)
	}
}
