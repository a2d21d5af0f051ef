package main

import (
	"bytes"
	"fmt"
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
	} {
		var errs bytes.Buffer
		a := &app{errs: &errs}
		if exit := a.explain(row.err); errs.String() != row.want || exit != row.exit {
			t.Errorf("%v is told as %q with %d, not %q with %d", row.err, errs.String(), exit, row.want, row.exit)
		}
	}
}
