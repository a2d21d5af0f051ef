// Package exit turns an error into what a command ends with: a message, a hint and an exit code.
//
// The exit code follows from the class of the error ([flawless.Code]), so every error that scripts must be
// able to tell apart has a class of its own. The package prints nothing but that message and hint, and
// decides nothing else.
package exit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/daemon"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// Classes of errors that only commands have.
const (
	NotCompleted flawless.Code = "the run did not complete"
	Unresolved   flawless.Code = "the run needs a decision"
	DamagedStore flawless.Code = "the store is damaged" // as a check of it found
)

// Help describes the exit codes.
const Help = `Exit codes:
  0  done
  1  failed
  2  wrong usage or invalid input; a named file cannot be read or written
  3  not found: no such module, workflow, run or call
  4  conflict with the current state
  5  the run did not complete
  6  no answer from the server; the message says how to find out what happened
  7  the run needs a decision (flawless workflow resolve)
  8  the disk is full; free some space, and restart the server if it stopped
  9  a replay diverged from the log
  10 access denied: the token or the host name is wrong
  11 the working directory was copied, restored or moved; see up --accept-copy
  12 the server could not write its store and stopped; restart it
  13 the store is damaged: restore it from a backup; or its database has lost
     writes: start the server again (docs/operate/lost-commits.md)`

// interrupted is the exit code of a command that was interrupted.
const interrupted = 130

// classes lists the exit code and the hint of each class of errors; any other error has exit code 1. An error
// can have several classes; the first one counts.
var classes = []struct {
	code flawless.Code
	exit int
	hint string
}{
	{daemon.WritesLost, 13, "start the server again in the same working directory: it finds out which calls were lost"},
	{daemon.StoreFailed, 12, "restart the server when the disk works again; accepted work is not lost"},
	{daemon.DiskFull, 8, "free some disk space, then restart the server; accepted work is not lost"},
	{DamagedStore, 13, "restore the whole working directory from a backup; until then, work that does not need the damaged data continues"},
	{daemon.StoreDamaged, 13, "restore the whole working directory from a backup"},
	{workdir.Copied, 11, ""},
	{flawless.Invalid, 2, ""},
	{flawless.TooLarge, 2, ""},
	{flawless.Refused, 2, ""},
	{flawless.NotFound, 3, ""}, // see listHint
	{flawless.Conflict, 4, ""},
	{NotCompleted, 5, ""},
	{client.Lost, 6, ""},
	{endpoint.NoServer, 6, ""},
	{client.Unreachable, 6, "start a server with: flawless up, or give the address of a running one with --working-dir, or with --socket and --port"},
	{Unresolved, 7, ""},
	{flawless.Full, 8, "free some disk space; the server then continues by itself"},
	{flawless.Diverged, 9, ""},
	{flawless.Denied, 10, ""},
	{flawless.Elsewhere, 6, "repeat the command, with the address of the other server"},
	{flawless.Stopping, 6, "wait until the server is up again, then repeat the command"},
}

// UsageError is a command line that is wrong.
type UsageError struct {
	Command string // whose help explains it
	Err     error
}

func (u *UsageError) Error() string { return u.Err.Error() }

func (u *UsageError) Unwrap() error { return u.Err }

// Explain writes the message of an error and a hint to w, and returns the exit code.
func Explain(w io.Writer, err error) int {
	canceled := errors.Is(err, context.Canceled)
	if canceled && !errors.Is(err, client.Lost) {
		return interrupted
	}
	text := err.Error()
	for _, c := range classes {
		if errors.Is(err, c.code) {
			text = strings.TrimSuffix(text, ": "+string(c.code)) // the exit code says it
		}
	}
	fmt.Fprintln(w, "flawless:", strings.Replace(text, context.Canceled.Error(), "interrupted", 1))
	if canceled { // the server may have carried it out anyway, which is why there is a message
		return interrupted
	}
	var usage *UsageError
	if errors.As(err, &usage) {
		fmt.Fprintln(w, "hint: see", usage.Command, "--help")
		return 2
	}
	for _, c := range classes {
		if !errors.Is(err, c.code) {
			continue
		}
		hint := c.hint
		if c.code == flawless.NotFound {
			hint = listHint(text)
		}
		if hint != "" {
			fmt.Fprintln(w, "hint:", hint)
		}
		return c.exit
	}
	return 1
}

// lists has, for part of a message about something that was not found, the command that lists what exists.
var lists = []struct{ missing, command string }{
	{"there is no module ", "flawless module list"},
	{"has no version ", "flawless module list"},
	{"there is no run ", "flawless workflow list"},
	{"there is no promise ", "flawless workflow promise list ID"},
	{"there is no schedule ", "flawless schedule list"},
	{"there is no secret ", "flawless secret list"},
	{"there is no limit ", "flawless limit list"},
	{"there is no state ", "flawless state list"},
}

// listHint returns the hint for something that was not found. It is empty if no list of the server helps: a
// file is missing, a program, or a turn of a run.
func listHint(text string) string {
	for _, l := range lists {
		if strings.Contains(text, l.missing) {
			return "to see what exists: " + l.command
		}
	}
	return ""
}
