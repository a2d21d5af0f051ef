package main

import (
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// harmless writes text without what a terminal would obey: what a command prints comes from guests, from the
// services they call and from servers, any of which could otherwise recolour the screen, change its title or
// show text in another order than it has, or hide a part of it. Control characters but newline and tab, and characters
// that are not seen, are written as \u001b, which is what they are in JSON too: a document stays the same document. It
// may be used concurrently.
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

// obeyed tells whether a terminal does something other than showing the character: control characters but newline and
// tab, format characters (overrides of direction, zero width, tags), separators of lines and paragraphs, and the fillers
// that Unicode says are not shown. It costs scripts their zero-width joiners, which are rare in what is printed here.
func obeyed(r rune) bool {
	return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}
