package forward

import (
	"maps"
	"strings"
	"testing"
)

// TestPositionsAreReadAsWritten: and nothing else is taken for one.
func TestPositionsAreReadAsWritten(t *testing.T) {
	t.Parallel()
	p := Position{"b": 7, "a": 18446744073709551615}
	if text := p.String(); text != "a-18446744073709551615,b-7" || !maps.Equal(ParsePosition(text), p) {
		t.Errorf("%v is written as %q, and read as %v", p, text, ParsePosition(text))
	}
	for _, text := range []string{"", "12", "a-", "-1", "a-x", "a-1,", "a-1;b-2", "a-18446744073709551616", strings.Repeat("a-1,", 2000) + "a-1"} {
		if p := ParsePosition(text); p != nil {
			t.Errorf("%.20q is read as %v", text, p)
		}
	}
}
