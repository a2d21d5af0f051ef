package wire

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const maxNesting = 500

// reader parses JSON without reflection. It keeps the first error in err; after that, everything reads as zero. The
// strings it returns share memory with the text if possible.
type reader struct {
	b     string
	i     int
	depth int
	err   error
}

func (r *reader) fail(want string) {
	if r.err == nil {
		r.err = fmt.Errorf("JSON at byte %d: %s expected", r.i, want)
	}
	r.i = len(r.b)
}

// peek returns the next byte that is not white space, or 0 at the end.
func (r *reader) peek() byte {
	for r.i < len(r.b) {
		c := r.b[r.i]
		if c > ' ' {
			return c
		}
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return 0
		}
		r.i++
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.i < len(r.b) && r.b[r.i] == c || r.peek() == c {
		r.i++
		return true
	}
	return false
}

// open enters an object or an array; more and member iterate over it.
func (r *reader) open(bracket byte) {
	if r.depth++; r.depth > maxNesting {
		r.fail("less nesting")
	}
	if !r.take(bracket) {
		r.fail(strconv.QuoteRune(rune(bracket)))
	}
}

// more reports whether another element follows, and leaves the array if not. first is true before the first element.
func (r *reader) more(first *bool, end byte) bool {
	switch {
	case r.err != nil:
		return false
	case r.take(end):
		r.depth--
		return false
	case *first:
		*first = false
	case !r.take(','):
		r.fail(strconv.QuoteRune(rune(end)))
		return false
	}
	return true
}

// member returns the name of the next member of an object. The caller must then read its value.
func (r *reader) member(first *bool) (name string, ok bool) {
	if !r.more(first, '}') {
		return "", false
	}
	name = r.string()
	if !r.take(':') {
		r.fail("':'")
	}
	return name, r.err == nil
}

func (r *reader) int() int {
	r.peek()
	from := r.i
	r.number()
	n, err := strconv.Atoi(r.b[from:r.i])
	if err != nil && r.err == nil {
		r.i = from
		r.fail("an integer")
		return 0
	}
	return n
}

// string reads a string. Bytes that are not valid UTF-8 become U+FFFD.
func (r *reader) string() string {
	if !r.take('"') {
		r.fail("a string")
		return ""
	}
	from := r.i
	end := strings.IndexByte(r.b[from:], '"')
	if end < 0 {
		r.i = len(r.b)
		r.fail("the end of a string")
		return ""
	}
	if s := r.b[from : from+end]; plain(s) {
		r.i = from + end + 1
		return s
	}
	return r.escaped(nil)
}

// plain reports whether a string is printable ASCII without a backslash.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// escaped reads the rest of a string that is not plain.
func (r *reader) escaped(out []byte) string {
	for r.i < len(r.b) {
		c := r.b[r.i]
		switch {
		case c == '"':
			r.i++
			return string(out)
		case c == '\\':
			r.i++
			out = r.escape(out)
		case c < ' ':
			r.fail("a string without control characters")
		default:
			ch, n := utf8.DecodeRuneInString(r.b[r.i:])
			out = utf8.AppendRune(out, ch)
			r.i += n
		}
	}
	r.fail("the end of a string")
	return ""
}

func (r *reader) escape(out []byte) []byte {
	if r.i >= len(r.b) {
		return out
	}
	c := r.b[r.i]
	r.i++
	switch c {
	case '"', '\\', '/':
		return append(out, c)
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		return utf8.AppendRune(out, r.unicode())
	}
	r.i--
	r.fail("an escape")
	return out
}

// unicode reads the digits after \u, and the second half of a surrogate pair.
func (r *reader) unicode() rune {
	ch := r.hex4()
	if !utf16.IsSurrogate(ch) {
		return ch
	}
	if r.i+1 < len(r.b) && r.b[r.i] == '\\' && r.b[r.i+1] == 'u' {
		at := r.i
		r.i += 2
		if pair := utf16.DecodeRune(ch, r.hex4()); pair != utf8.RuneError {
			return pair
		}
		if r.err == nil {
			r.i = at
		}
	}
	return utf8.RuneError
}

func (r *reader) hex4() rune {
	if r.i+4 > len(r.b) {
		r.fail("four hexadecimal digits")
		return 0
	}
	var ch rune
	for _, c := range []byte(r.b[r.i : r.i+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			r.fail("four hexadecimal digits")
			return 0
		}
		ch = ch<<4 | rune(c)
	}
	r.i += 4
	return ch
}

// skip reads any value and discards it.
func (r *reader) skip() {
	switch c := r.peek(); c {
	case '{':
		r.open('{')
		first := true
		for _, ok := r.member(&first); ok; _, ok = r.member(&first) {
			r.skip()
		}
	case '[':
		r.open('[')
		for first := true; r.more(&first, ']'); {
			r.skip()
		}
	case '"':
		r.string()
	case 't':
		r.word("true")
	case 'f':
		r.word("false")
	case 'n':
		r.word("null")
	default:
		r.number()
	}
}

func (r *reader) word(w string) {
	if r.i+len(w) > len(r.b) || r.b[r.i:r.i+len(w)] != w {
		r.fail(w)
		return
	}
	r.i += len(w)
}

func (r *reader) number() {
	r.sign("-")
	if r.i < len(r.b) && r.b[r.i] == '0' {
		r.i++
	} else {
		r.digits()
	}
	if r.i < len(r.b) && r.b[r.i] == '.' {
		r.i++
		r.digits()
	}
	if r.i < len(r.b) && (r.b[r.i] == 'e' || r.b[r.i] == 'E') {
		r.i++
		r.sign("+-")
		r.digits()
	}
}

func (r *reader) sign(allowed string) {
	for j := range len(allowed) {
		if r.i < len(r.b) && r.b[r.i] == allowed[j] {
			r.i++
			return
		}
	}
}

func (r *reader) digits() {
	from := r.i
	for r.i < len(r.b) && '0' <= r.b[r.i] && r.b[r.i] <= '9' {
		r.i++
	}
	if r.i == from {
		r.fail("a value")
	}
}

// end returns the error, also if something follows the value.
func (r *reader) end() error {
	r.peek()
	if r.i < len(r.b) {
		r.fail("the end")
	}
	return r.err
}
