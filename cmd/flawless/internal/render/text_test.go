package render

import (
	"testing"
)

func TestShortenReturnsUTF8(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		in   string
		n    int
		want string
	}{{"café", 10, "café"}, {"café!", 4, "caf…"}, {"caf\xe9!", 10, "caf\uFFFD!"}, {"a\nb", 10, "a b"}} {
		if got := Shorten(row.in, row.n); got != row.want {
			t.Errorf("%q in %d bytes: %q, want %q", row.in, row.n, got, row.want)
		}
	}
}
