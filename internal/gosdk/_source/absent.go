package flawless

import (
	"slices"
	"strings"
)

// absence is something that ordinary programs have and runs have not. Go's own text for it, as in
// "open x: Bad file number", explains nothing.
type absence struct {
	where []string // the error has one of these, which say what was tried; none means it does not matter
	signs []string // and one of these, the texts of Go for wasip1
	hint  string
}

var absences = []absence{
	{
		where: []string{"fork/exec ", "open /dev/null: ", "exec: "},
		signs: []string{notThere, closedFile, "executable file not found in $PATH"},
		hint:  "a run cannot start processes, it reaches the outside only through calls: do the work in Go, or call a service that does it over HTTP",
	},
	{
		where: []string{"dial ", "lookup "},
		signs: []string{"Connection refused", "Connection reset by peer", closedFile},
		hint:  "a run has no sockets, it reaches the outside only through calls: make HTTP requests with flawless.Do or package nethttp of the SDK, build with flawless build where a library has an http.Transport of its own, and reach databases over HTTP",
	},
	{
		signs: []string{closedFile},
		hint:  "a run has no files, it reaches the outside only through calls: embed what it reads with go:embed or pass it as input, and return or publish what it would write, or send it to a service over HTTP",
	},
	{
		signs: []string{notThere},
		hint:  "a run has no operating system, it reaches the outside only through calls",
	},
}

const (
	closedFile = "Bad file number"
	notThere   = "Not implemented on wasip1"
)

// explained adds to the text of an error what a run does not have, and what to use instead, where the error
// comes from that.
func explained(text string) string {
	has := func(part string) bool { return strings.Contains(text, part) }
	for _, a := range absences {
		if (a.where == nil || slices.ContainsFunc(a.where, has)) && slices.ContainsFunc(a.signs, has) {
			return text + " (" + a.hint + ")"
		}
	}
	return text
}
