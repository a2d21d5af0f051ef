package flawless

import (
	"slices"
	"strings"
)

// absence is something that ordinary programs have and runs do not. Go's own error, such as "open x: Bad file number",
// does not explain that.
type absence struct {
	where []string // the error contains one of these, which say what was attempted; nil matches any error
	signs []string // and one of these, which are Go's texts on wasip1
	hint  string
}

var absences = []absence{
	{
		where: []string{"fork/exec ", "open /dev/null: ", "exec: "},
		signs: []string{notThere, closedFile, "executable file not found in $PATH"},
		hint:  "a run cannot start processes; it reaches the outside only through calls. Do the work in Go, or call a service over HTTP that does it",
	},
	{
		where: []string{"dial ", "lookup "},
		signs: []string{"Connection refused", "Connection reset by peer", closedFile},
		hint:  "a run has no sockets; it reaches the outside only through calls. Make HTTP requests with flawless.Do or package nethttp of the SDK, use flawless build if a library has its own http.Transport, and reach databases over HTTP",
	},
	{
		where: []string{"open ", "stat ", "mkdir ", "chdir ", "remove ", "rename ", "link ", "chmod ", "chtimes ", "truncate ", "unlinkat ", "getwd"},
		signs: []string{closedFile},
		hint:  "a run has no files; it reaches the outside only through calls. Embed files to read with go:embed or pass their content as input; return or publish data instead of writing files, or send it to a service over HTTP",
	},
	{
		signs: []string{closedFile}, // Go names no file if it is one with time zones
		hint:  "this is the error of time.LoadLocation for an unknown time zone, and of operations on files, which a run does not have",
	},
	{
		signs: []string{notThere},
		hint:  "a run has no operating system; it reaches the outside only through calls",
	},
}

const (
	closedFile = "Bad file number"
	notThere   = "Not implemented on wasip1"
)

// explained appends to an error text what a run does not have and what to use instead, if that is the cause of the
// error.
func explained(text string) string {
	has := func(part string) bool { return strings.Contains(text, part) }
	for _, a := range absences {
		if (a.where == nil || slices.ContainsFunc(a.where, has)) && slices.ContainsFunc(a.signs, has) {
			return text + " (" + a.hint + ")"
		}
	}
	return text
}
