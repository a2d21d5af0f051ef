package render

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode"
	"unicode/utf8"
)

// controls has everything that a terminal acts on or hides: a colour, a title, a C1 sequence, an override and a mark of
// direction, DEL, a carriage return, line and paragraph separators, zero width, a filler, and a tag.
const controls = "a\x1b[31m\x1b]0;title\x07\u009b2J\u202eb\x7f\rc\u200f\u2028\u2029\u200b\ufeff\u3164\U000e0041"

func TestWriterEscapesControlCharacters(t *testing.T) {
	t.Parallel()
	const want = `a\u001b[31m\u001b]0;title\u0007\u009b2J\u202eb\u007f\u000dc\u200f\u2028\u2029\u200b\ufeff\u3164\udb40\udc41`
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

// unseen reports by its category whether a terminal may act on a character or hide it.
func unseen(r rune) bool { return !unicode.IsGraphic(r) && r != '\n' && r != '\t' }

// TestEveryVisibleCharacterIsShown goes through all of Unicode. Characters that it does not define yet, and those for
// private use, are shown: fonts may have them.
func TestEveryVisibleCharacterIsShown(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		got := string(Escape([]byte(string(r))))
		switch shown := got == string(r); {
		case shown && unseen(r) && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Z):
			t.Errorf("%U is shown", r)
		case !shown && !unseen(r) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r):
			t.Errorf("%U is %s", r, got)
		}
	}
	for _, text := range []string{"日本語", "naïve", "שלום", "नमस्ते", "🙂", "a\u00a0b", "e\u0301"} {
		if got := string(Escape([]byte(text))); got != text {
			t.Errorf("%s is %s", text, got)
		}
	}
}
