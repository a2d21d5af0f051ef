package flawless

import (
	"slices"
	"strings"
)

// Header holds the header fields of a request or a response: pairs of name and value, in the order
// they are sent or came in. Upper and lower case are the same in names. A literal is written
// flawless.Header{{"Accept", "text/plain"}}.
//
// It is a list because what a run asks for must be the same in every replay and in the next version
// of the code, and the order of a map is not.
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

// Values returns all values of a field.
func (h Header) Values(name string) []string {
	var all []string
	for i := range h {
		if strings.EqualFold(h[i][0], name) {
			all = append(all, h[i][1])
		}
	}
	return all
}

// Add appends a field, beside those of the same name.
func (h *Header) Add(name, value string) { *h = append(*h, [2]string{name, value}) }

// Set puts a field in the place of all of the same name.
func (h *Header) Set(name, value string) {
	*h = slices.DeleteFunc(*h, func(f [2]string) bool { return strings.EqualFold(f[0], name) })
	h.Add(name, value)
}
