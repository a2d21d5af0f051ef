package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
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
		{fmt.Errorf("no server: %w", client.Unreachable), "flawless: no server\nhint: start a server with: flawless up\n", 6},
		{fmt.Errorf("no new work is taken: %w", flawless.Full), "flawless: no new work is taken\nhint: free some space; the server goes on by itself\n", 8},
		{whyEnded(fmt.Errorf("nothing can be written: %w", flawless.Full)), "flawless: nothing can be written\nhint: free some space, then start the server again; nothing that was accepted is lost\n", 8},
		{whyEnded(fmt.Errorf("making a file: %w", syscall.EDQUOT)), "flawless: making a file: disk quota exceeded\nhint: free some space, then start the server again; nothing that was accepted is lost\n", 8},
		{whyEnded(fmt.Errorf("the log: %w: %w", syscall.ENOSPC, storeGivenUp)), "flawless: the log: no space left on device\nhint: start the server again when the disk works; nothing that was accepted is lost\n", 12},
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
