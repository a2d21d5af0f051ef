package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// TestErrorKeepsItsLastWord: the class of an error is left out, and nothing else that has its name.
func TestErrorKeepsItsLastWord(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err  error
		want string
		exit int
	}{
		{fmt.Errorf("it failed with trap: wasm error: unreachable: %w", flawless.Refused), "flawless: it failed with trap: wasm error: unreachable\n", 2},
		{&client.Refusal{Detail: "wasm error: unreachable: refused", Code: flawless.Refused}, "flawless: wasm error: unreachable\n", 2},
		{fmt.Errorf("no server: %w", client.Unreachable), "flawless: no server\nhint: start a server with: flawless up, or give the address of a running one with --working-dir, or with --socket and --port\n", 6},
		{fmt.Errorf("no new work is taken: %w", flawless.Full), "flawless: no new work is taken\nhint: free some disk space; the server then continues by itself\n", 8},
		{whyEnded(fmt.Errorf("nothing can be written: %w", flawless.Full)), "flawless: nothing can be written\nhint: free some disk space, then restart the server; accepted work is not lost\n", 8},
		{whyEnded(fmt.Errorf("making a file: %w", syscall.EDQUOT)), "flawless: making a file: disk quota exceeded\nhint: free some disk space, then restart the server; accepted work is not lost\n", 8},
		{whyEnded(fmt.Errorf("the log: %w: %w", syscall.ENOSPC, storeGivenUp)), "flawless: the log: no space left on device\nhint: restart the server when the disk works again; accepted work is not lost\n", 12},
		{fmt.Errorf("a bundle: %w", flawless.Damaged), "flawless: a bundle: damaged\n", 1},
		{whyEnded(fmt.Errorf("a record: %w", flawless.Damaged)), "flawless: a record: damaged\nhint: restore the whole working directory from a backup\n", 13},
	} {
		var errs bytes.Buffer
		a := &app{errs: &errs}
		if exit := a.explain(row.err); errs.String() != row.want || exit != row.exit {
			t.Errorf("%v is told as %q with %d, not %q with %d", row.err, errs.String(), exit, row.want, row.exit)
		}
	}
}

// TestHints goes through all classes of errors: each has a hint that helps with it, or none.
func TestHints(t *testing.T) {
	t.Parallel()
	const restart, list = "restart the server", "to see what exists: flawless "
	hints := map[flawless.Code]string{
		damagedStore: "restore the whole working directory", client.Lost: "", noServer: "",
		storeGivenUp: restart, endedFull: "free some disk space, then restart", endedDamaged: "restore the whole working directory",
		client.Unreachable: "start a server with: flawless up", flawless.Full: "free some disk space", flawless.Stopping: "wait until the server",
		workdir.Copied: "", flawless.Invalid: "", flawless.TooLarge: "", flawless.Refused: "", flawless.NotFound: "", flawless.Conflict: "",
		notCompleted: "", unresolvedRun: "", flawless.Diverged: "", flawless.Denied: "", flawless.Fenced: "", flawless.Damaged: "",
	}
	hint := func(err error) string {
		var errs bytes.Buffer
		a := &app{errs: &errs}
		a.explain(err)
		_, text, _ := strings.Cut(errs.String(), "\nhint: ")
		return strings.TrimSuffix(text, "\n")
	}
	for _, e := range exitCodes {
		if _, known := hints[e.code]; !known {
			t.Errorf("the class %q has no row here", e.code)
		}
	}
	for code, want := range hints {
		if got := hint(fmt.Errorf("doing something: %w", code)); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%q has the hint %q, not %q", code, got, want)
		}
	}
	for text, want := range map[string]string{
		"there is no module shop":                                                  list + "module list",
		"module shop has no version 3":                                             list + "module list",
		"sending to run x: there is no run x":                                      list + "workflow list",
		"there is no promise with this token; make sure that you copied all of it": list + "workflow promise list",
		"there is no schedule \"nightly\"":                                         list + "schedule list",
		"there is no secret \"TOKEN\"":                                             list + "secret list",
		"there is no limit for host \"a\"":                                         list + "limit list",
		"there is no state \"sum\"":                                                list + "state list",
		"module shop has no workflow \"a\"; it has b":                              "",
		"run x has no turn 7, it has 3":                                            "",
		"reading the module: open a.wasm: no such file":                            "",
		"the go command was not found: install Go 1.25 or newer":                   "",
	} {
		if got := hint(fmt.Errorf("%s: %w", text, flawless.NotFound)); got != want {
			t.Errorf("%q has the hint %q, not %q", text, got, want)
		}
	}
	for _, l := range lists {
		root := (&app{}).root()
		if c, left, err := root.Find(strings.Fields(l.command)[1:]); err != nil || len(left) > 0 || !c.Runnable() {
			t.Errorf("there is no command %q: %v", l.command, err)
		}
	}
}

// TestAFullDiskDoesNotMakeADirectoryUnwritable: a file system without any space refuses the file that tries
// the directory, and the store starts from its reserve.
func TestAFullDiskDoesNotMakeADirectoryUnwritable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err  error
		want error
	}{
		{nil, nil},
		{syscall.ENOSPC, nil},
		{syscall.EDQUOT, nil},
		{syscall.EROFS, flawless.Invalid},
		{syscall.EACCES, flawless.Invalid},
	} {
		err := writable(t.TempDir(), func(dir string) error {
			if row.err == nil {
				return tryFile(dir)
			}
			return &os.PathError{Op: "write", Path: dir, Err: row.err}
		})
		if !errors.Is(err, row.want) {
			t.Errorf("%v: %v, want %v", row.err, err, row.want)
		}
	}
}
