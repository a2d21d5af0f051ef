package word

import (
	"strings"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ got, want string }{
		{Span(999 * time.Microsecond), "999 µs"}, {Span(1500 * time.Millisecond), "1 s"}, {Span(47 * time.Hour), "47 h"}, {Span(48 * time.Hour), "2 d"},
		{Number(0), "0"}, {Number(999), "999"}, {Number(int64(1234567)), "1,234,567"}, {Number(-1234), "-1234"}, {Number("x"), "x"},
		{Size(999), "999 B"}, {Size(4_700_000), "4.7 MB"}, {Size(67_000), "67 kB"}, {Size(3_500_000_000), "3.5 GB"},
		{Shorten(4, "日本"), "日…"}, {Shorten(6, "日本"), "日本"}, {Shorten(3, "a\xffb"), "a…"},
		{Sentence("the run failed"), "The run failed."}, {Sentence("Élan."), "Élan."}, {Sentence(""), ""},
		{BareURL("GET https://a.example/x"), "GET a.example/x"}, {Pretty([]byte(`{"a":1}`)), "{\n  \"a\": 1\n}"}, {Pretty([]byte("x\xff")), "x�"},
	} {
		if row.got != row.want {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
	var names []string
	for _, l := range SortedLabels(map[string]string{"b": "2", "a": "1"}) {
		names = append(names, l.Name+l.Value)
	}
	if got := strings.Join(names, " "); got != "a1 b2" {
		t.Errorf("the labels are %s", got)
	}
	for text, want := range map[string]string{"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T15:04": "2026-01-31T15:04:00Z", "2026-01-31T15:04:05+01:00": "2026-01-31T14:04:05Z"} {
		if at, err := ParseTime(text); err != nil || at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v", text, at, err)
		}
	}
	if _, err := ParseTime("soon"); err == nil {
		t.Error("soon is a time")
	}
}
