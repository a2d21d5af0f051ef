package render

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// controls has everything that a terminal acts on: a colour, a title, a C1 sequence, an override of direction,
// DEL and a carriage return.
const controls = "a\x1b[31m\x1b]0;title\x07\u009b2J\u202eb\x7f\rc"

func TestWriterEscapesControlCharacters(t *testing.T) {
	t.Parallel()
	const want = `a\u001b[31m\u001b]0;title\u0007\u009b2J\u202eb\u007f\u000dc`
	for _, row := range []struct{ in, want string }{
		{controls, want},
		{"naïve\t日本\n", "naïve\t日本\n"},
		{"caf\xe9 \x9b1m", "caf\uFFFD \uFFFD1m"},
		{"\u2066i\u2069", `\u2066i\u2069`},
		{"half \xe6\x97", "half \uFFFD\uFFFD"},
	} {
		for step := 1; step <= len(row.in); step++ { // wherever the writes are split
			var out bytes.Buffer
			h := NewWriter(&out)
			for part := range slices.Chunk([]byte(row.in), step) {
				if n, err := h.Write(part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			h.Flush()
			if out.String() != row.want {
				t.Errorf("%q in parts of %d: %q, want %q", row.in, step, out.String(), row.want)
			}
		}
	}
	var before, after string
	text, err := json.Marshal(controls)
	if err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(text, &before) != nil || json.Unmarshal(Escape(text), &after) != nil || before != after {
		t.Errorf("%q is not the same document as %q", Escape(text), text)
	}
}
