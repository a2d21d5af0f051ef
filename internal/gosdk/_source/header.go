package flawless

import (
	"slices"
	"strings"
)

// Header is a list of header fields, each a pair of name and value, in the order in which they are sent or were
// received. Names are case-insensitive. Example of a literal:
//
//	flawless.Header{{"Accept", "text/plain"}}
//
// It is a list because a run must make the same request in every replay and in the next version of the code, and the
// order of a Go map is random.
type Header [][2]string

// Get returns the first value of a field, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i][0], name) {
			return h[i][1]
		}
	}
	return ""
}

// Values returns all values of a field in order.
func (h Header) Values(name string) []string {
	var all []string
	for i := range h {
		if strings.EqualFold(h[i][0], name) {
			all = append(all, h[i][1])
		}
	}
	return all
}

// Add appends a field and keeps existing ones with the same name.
func (h *Header) Add(name, value string) { *h = append(*h, [2]string{name, value}) }

// Set replaces all fields with that name by one.
func (h *Header) Set(name, value string) {
	*h = slices.DeleteFunc(*h, func(f [2]string) bool { return strings.EqualFold(f[0], name) })
	h.Add(name, value)
}
