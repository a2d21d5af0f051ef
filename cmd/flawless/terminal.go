package main

import (
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

// harmless writes text without what a terminal would obey: what a command prints comes from guests, from the
// services they call and from servers, any of which could otherwise recolour the screen, change its title or
// show text in another order than it has. Control characters but newline and tab, and the characters that
// override the direction of text, are written as \u001b, which is what they are in JSON too: a document stays
// the same document. It may be used concurrently.
type harmless struct {
	w io.Writer

	mu  sync.Mutex
	cut []byte // the beginning of a character of which the rest is still to come
}

// Write implements io.Writer.
func (h *harmless) Write(p []byte) (int, error) {
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
	if _, err := h.w.Write(escaped(text)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes half a character that was not completed.
func (h *harmless) flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = h.w.Write(escaped(h.cut))
	h.cut = nil
}

// incomplete is how many bytes at the end of text begin a character and do not end it.
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

// escaped returns text without what a terminal would obey: text itself where there is nothing of the kind.
func escaped(text []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(text); {
		if b := text[i]; b >= ' ' && b < 0x7f || b == '\n' || b == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1: // on some terminals a byte is a control character, too
			out = append(append(out, text[done:i]...), "\uFFFD"...)
			done = i + 1
		case obeyed(r):
			out = fmt.Appendf(append(out, text[done:i]...), "\\u%04x", r)
			done = i + size
		}
		i += size
	}
	if done == 0 {
		return text
	}
	return append(out, text[done:]...)
}

// obeyed tells whether a terminal does something other than showing the character: C0 but newline and tab, DEL,
// C1, and the overrides, embeddings and isolates of the bidirectional algorithm.
func obeyed(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
