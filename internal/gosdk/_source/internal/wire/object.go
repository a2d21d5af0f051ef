package wire

import (
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s to b as a JSON string. Bytes that are not valid UTF-8 become U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	if isPlain(s) {
		return append(append(b, s...), '"')
	}
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[done:i]...), "\ufffd"...)
				done = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			b = appendEscape(append(b, s[done:i]...), c)
			done = i + 1
		}
		i++
	}
	return append(append(b, s[done:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// AppendInts appends list to b as a JSON array.
func AppendInts(b []byte, list []int) []byte {
	b = append(b, '[')
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return append(b, ']')
}

// AppendStrings appends list to b as a JSON array.
func AppendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, s)
	}
	return append(b, ']')
}

// AppendHeader appends header fields to b as [["Name","value"],…].
func AppendHeader(b []byte, h [][2]string) []byte {
	b = append(b, '[')
	for i := range h {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(AppendString(append(b, '['), h[i][0]), ',')
		b = append(AppendString(b, h[i][1]), ']')
	}
	return append(b, ']')
}

// Object writes a JSON object member by member. Start with [NewObject] and finish with [Object.End].
type Object struct{ B []byte }

// NewObject starts an object at the end of b.
func NewObject(b []byte) Object { return Object{append(b, '{')} }

// Key writes the name of a member. The caller then appends its value to o.B.
func (o *Object) Key(name string) {
	if o.B[len(o.B)-1] != '{' {
		o.B = append(o.B, ',')
	}
	o.B = append(AppendString(o.B, name), ':')
}

// Str writes a string member.
func (o *Object) Str(name, value string) {
	o.Key(name)
	o.B = AppendString(o.B, value)
}

// Int writes an integer member.
func (o *Object) Int(name string, value int64) {
	o.Key(name)
	o.B = strconv.AppendInt(o.B, value, 10)
}

// Float writes a number, which must be finite: JSON has no other.
func (o *Object) Float(name string, value float64) {
	o.Key(name)
	o.B = strconv.AppendFloat(o.B, value, 'g', -1, 64)
}

// Bool writes a boolean member.
func (o *Object) Bool(name string, value bool) {
	o.Key(name)
	o.B = strconv.AppendBool(o.B, value)
}

// Raw writes a member whose value is already JSON.
func (o *Object) Raw(name string, value []byte) {
	o.Key(name)
	o.B = append(o.B, value...)
}

// Site writes the call site as member "at", unless it is unknown.
func (o *Object) Site(at string) {
	if at != "" {
		o.Str("at", at)
	}
}

// End closes the object and returns the buffer.
func (o *Object) End() []byte { return append(o.B, '}') }
