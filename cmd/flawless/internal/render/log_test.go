package render

import (
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestRefusedAttemptDoesNotReadAsBegun: the log says that an attempt is due before the last check, which may still refuse
// it. A line that says more would contradict the next one.
func TestRefusedAttemptDoesNotReadAsBegun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := NewLog(&out)
	p.Record(flawless.Record{Entries: []flawless.Entry{
		{At: 1, Attempt: &flawless.Attempt{Call: 2, N: 3, Begun: true}},
		{At: 2, Arrival: &flawless.Arrival{Answer: flawless.Answer{Call: 2, Head: []byte(`{"error":{"kind":"given_up","message":"it is not sent again: its key has expired"}}`)}}},
	}})
	text := out.String()
	if !strings.Contains(text, "call 2, attempt 3 is due\n") || !strings.Contains(text, "call 2 answered: given_up: it is not sent again") || strings.Contains(text, "begin") {
		t.Error(text)
	}
}
