package flawless

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestListedShortensTexts: a run whose texts are long is shortened in a list, and the run itself stays as it is.
func TestListedShortensTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä…", 1<<20)
	r := Run{ID: "r", Status: Failed, Failure: &Failure{"error", long, long}, Problem: long, Output: []byte(long),
		Unresolved: []Doubt{{Call: 1, Reason: long, Request: long}}, Pause: &Pause{Note: long}}
	l := r.Listed()
	for what, text := range map[string]string{"message": l.Failure.Message, "stack": l.Failure.Stack, "problem": l.Problem,
		"reason": l.Unresolved[0].Reason, "request": l.Unresolved[0].Request, "note": l.Pause.Note} {
		if len(text) > maxListed+len("…") || len(text) < maxListed-utf8.UTFMax || !utf8.ValidString(text) || !strings.HasSuffix(text, "…") {
			t.Errorf("the %s has %d bytes and ends with %q", what, len(text), text[len(text)-8:])
		}
	}
	if !l.Cut || l.Output != nil || l.Failure.Kind != "error" {
		t.Errorf("cut %v, %d bytes of output, %s", l.Cut, len(l.Output), l.Failure.Kind)
	}
	if r.Cut || r.Failure.Message != long || r.Unresolved[0].Reason != long || r.Pause.Note != long || len(r.Output) == 0 {
		t.Error("the run itself was changed")
	}
	if s := (Run{ID: "s", Output: []byte("1"), Failure: &Failure{"error", "short", ""}}).Listed(); s.Cut || string(s.Output) != "1" || s.Failure.Message != "short" {
		t.Errorf("a short one is %+v", s)
	}
}
