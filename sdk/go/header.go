package flawless

import (
	"slices"
)

// Header holds the header fields of a request or a response, by name in canonical form
// (Content-Type). It is the same type as net/http's Header underneath: http.Header(h) converts it.
// A Header written down as a literal may use names in any form; Get finds canonical names only.
type Header map[string][]string

// Get returns the first value of a field, or "".
func (h Header) Get(name string) string {
	if v := h[canonical(name)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values returns all values of a field. The slice is not a copy.
func (h Header) Values(name string) []string { return h[canonical(name)] }

// Set replaces the values of a field by one.
func (h Header) Set(name, value string) { h[canonical(name)] = []string{value} }

// Add appends a value to a field.
func (h Header) Add(name, value string) {
	name = canonical(name)
	h[name] = append(h[name], value)
}

// canonical returns the form of a field's name in which a letter at the start or after a hyphen is
// upper case and the others are lower case. A name with anything but token characters stays as it is.
func canonical(name string) string {
	first := -1 // letter of the wrong case
	upper := true
	for i := range len(name) {
		c := name[i]
		if tokens[c>>6]&(1<<(c&63)) == 0 {
			return name
		}
		if first < 0 && wrongCase(c, upper) {
			first = i
		}
		upper = c == '-'
	}
	if first < 0 {
		return name
	}
	b := []byte(name)
	for i := first; i < len(b); i++ {
		if wrongCase(b[i], i == 0 || b[i-1] == '-') {
			b[i] ^= 'a' - 'A'
		}
	}
	return string(b)
}

func wrongCase(c byte, upper bool) bool {
	return upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z'
}

// tokens has a bit for each byte that the name of a header field may have (RFC 9110, section 5.6.2).
var tokens = tokenSet("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func tokenSet(all string) (set [4]uint64) {
	for i := range len(all) {
		set[all[i]>>6] |= 1 << (all[i] & 63)
	}
	return set
}

// appendHeader appends [["Name","value"],…], sorted by name: the order of a Go map would make equal
// requests look different.
func appendHeader(b []byte, h Header) []byte {
	var room [16]string
	names := room[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '[')
	first := true
	for _, name := range names {
		for _, value := range h[name] {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(appendString(append(b, '['), name), ',')
			b = append(appendString(b, value), ']')
		}
	}
	return append(b, ']')
}
