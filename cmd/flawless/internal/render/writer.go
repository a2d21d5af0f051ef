// Package render turns runs, logs, modules and reports into text for people: tables, trees, one line per
// entry of a log, progress bars.
//
// What it prints comes from guests, from the services they call and from servers, so [Writer] takes out
// everything that a terminal would act on. The package writes to an [io.Writer] and does nothing else: it
// talks to no server, reads no flags and decides nothing. JSON output does not depend on it, except that it
// is escaped in the same way. Times become text in one place, with their zone.
package render

import (
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Writer escapes what a terminal would act on. Otherwise a guest, a service it calls or a server could change
// colours, set the title of the window, or show text in another order. Control characters except newline and
// tab, and characters that override the direction of text, are written in the form \u001b. This is also how
// JSON writes them, so a JSON document stays the same document. It may be used concurrently.
type Writer struct {
	w io.Writer

	mu  sync.Mutex
	cut []byte // the first bytes of a character whose rest has not been written yet
}

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write implements io.Writer.
func (h *Writer) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := p
	if len(h.cut) > 0 {
		text = append(h.cut, p...)
		h.cut = nil
	}
	if n := incomplete(text); n > 0 {
		h.cut = append([]byte(nil), text[len(text)-n:]...)
		text = text[:len(text)-n]
	}
	if _, err := h.w.Write(Escape(text)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes the rest if the text ended within a character.
func (h *Writer) Flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = h.w.Write(Escape(h.cut))
	h.cut = nil
}

// incomplete returns the number of bytes at the end of text that are the start of a character.
func incomplete(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}

// Escape returns text with the characters that a terminal would act on escaped. If there are none, it returns
// text itself.
func Escape(text []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(text); {
		if b := text[i]; b >= ' ' && b < 0x7f || b == '\n' || b == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1: // some terminals take single bytes as C1 control characters
			out = append(append(out, text[done:i]...), "\uFFFD"...)
			done = i + 1
		case IsControl(r):
			out = appendEscape(append(out, text[done:i]...), r)
			done = i + size
		}
		i += size
	}
	if done == 0 {
		return text
	}
	return append(out, text[done:]...)
}

// appendEscape appends a character as JSON escapes it: one beyond U+FFFF as a surrogate pair.
func appendEscape(b []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Appendf(b, "\\u%04x\\u%04x", high, low)
	}
	return fmt.Appendf(b, "\\u%04x", r)
}

// IsControl reports whether a terminal acts on a character, or hides it, instead of showing it: control characters
// except newline and tab, format characters (direction overrides, zero width, tags), line and paragraph separators, and
// the fillers that Unicode says are not shown. Scripts lose their zero-width joiners, which are rare in what is
// printed here.
func IsControl(r rune) bool {
	return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}
