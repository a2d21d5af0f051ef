package tally_test

import (
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/store/tally"
)

// TestReasonsLeaveOutWhatVaries: failures that differ in ids and numbers have one reason.
func TestReasonsLeaveOutWhatVaries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"error: order 4711 is unknown", "error: order N is unknown"},
		{"dial tcp 10.0.0.7:5432: refused", "dial tcp N:N: refused"},
		{"run wkf_01jf8zq0abc.3.1 has ended", "run N has ended"},
		{"key 550e8400-e29b-41d4-a716-446655440000 is taken", "key N is taken"},
		{"at 0x7ffe12: digest 9f86d081884c7d659a2feaa0", "at N: digest N"},
		{"panic: one\nline two", "panic: one"},
		{"a deadbeat facade", "a deadbeat facade"},
	} {
		if got := tally.Normal(c.text); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.text, got, c.want)
		}
	}
	if n := len(tally.Normal(strings.Repeat("é", 1000))); n > 120 {
		t.Errorf("a reason has %d bytes", n)
	}
}
