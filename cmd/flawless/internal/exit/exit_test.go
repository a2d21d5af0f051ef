package exit

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/daemon"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/internal/workdir"
)

// TestMessageOmitsOnlyTheClass checks that the class at the end of a message is left out, but no other text like it.
func TestMessageOmitsOnlyTheClass(t *testing.T) {
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
		{daemon.Reason(fmt.Errorf("nothing can be written: %w", flawless.Full)), "flawless: nothing can be written\nhint: free some disk space, then restart the server; accepted work is not lost\n", 8},
		{daemon.Reason(fmt.Errorf("making a file: %w", syscall.EDQUOT)), "flawless: making a file: disk quota exceeded\nhint: free some disk space, then restart the server; accepted work is not lost\n", 8},
		{daemon.Reason(fmt.Errorf("the log: %w: %w", syscall.ENOSPC, daemon.StoreFailed)), "flawless: the log: no space left on device\nhint: restart the server when the disk works again; accepted work is not lost\n", 12},
		{fmt.Errorf("a bundle: %w", flawless.Damaged), "flawless: a bundle: damaged\n", 1},
		{daemon.Reason(fmt.Errorf("a record: %w", flawless.Damaged)), "flawless: a record: damaged\nhint: restore the whole working directory from a backup\n", 13},
	} {
		var errs bytes.Buffer
		if exit := Explain(&errs, row.err); errs.String() != row.want || exit != row.exit {
			t.Errorf("%v is explained as %q with exit code %d, want %q with %d", row.err, errs.String(), exit, row.want, row.exit)
		}
	}
}

// TestHints checks the hint of each class of errors, and that a new class gets a row here.
func TestHints(t *testing.T) {
	t.Parallel()
	const restart, list = "restart the server", "to see what exists: flawless "
	hints := map[flawless.Code]string{
		DamagedStore: "restore the whole working directory", client.Lost: "", endpoint.NoServer: "",
		daemon.WritesLost: "start the server again in the same working directory", daemon.StoreFailed: restart, daemon.DiskFull: "free some disk space, then restart", daemon.StoreDamaged: "restore the whole working directory",
		client.Unreachable: "start a server with: flawless up", flawless.Full: "free some disk space", flawless.Stopping: "wait until the server",
		workdir.Copied: "", flawless.Invalid: "", flawless.TooLarge: "", flawless.Refused: "", flawless.NotFound: "", flawless.Conflict: "",
		NotCompleted: "", Unresolved: "", flawless.Diverged: "", flawless.Denied: "", flawless.Elsewhere: "repeat the command", flawless.Fenced: "", flawless.Damaged: "",
	}
	hint := func(err error) string {
		var errs bytes.Buffer
		Explain(&errs, err)
		_, text, _ := strings.Cut(errs.String(), "\nhint: ")
		return strings.TrimSuffix(text, "\n")
	}
	for _, e := range classes {
		if _, known := hints[e.code]; !known {
			t.Errorf("the class %q has no row in this test", e.code)
		}
	}
	for code, want := range hints {
		if got := hint(fmt.Errorf("doing something: %w", code)); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%q has the hint %q, want %q", code, got, want)
		}
	}
	listed := map[string]bool{}
	for text, want := range map[string]string{
		"there is no module shop":                                                  list + "module list",
		"module shop has no version 3":                                             list + "module list",
		"sending to run x: there is no run x":                                      list + "workflow list",
		"there is no promise with this token; make sure that you copied all of it": list + "workflow promise list ID",
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
			t.Errorf("%q has the hint %q, want %q", text, got, want)
		}
		for _, l := range lists {
			listed[l.missing] = listed[l.missing] || strings.Contains(text, l.missing)
		}
	}
	for _, l := range lists {
		if !listed[l.missing] {
			t.Errorf("%q has no row in this test", l.missing)
		}
	}
}
