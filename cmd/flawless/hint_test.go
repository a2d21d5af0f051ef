package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
)

// TestHintsNameExistingCommands runs through the hints for things that were not found.
func TestHintsNameExistingCommands(t *testing.T) {
	t.Parallel()
	for _, thing := range []string{"module", "run", "promise", "schedule", "secret", "limit", "state"} {
		var text strings.Builder
		exit.Explain(&text, fmt.Errorf("there is no %s x: %w", thing, flawless.NotFound))
		_, command, ok := strings.Cut(strings.TrimSpace(text.String()), "to see what exists: flawless ")
		if c, left, err := (&app{new(terminal.Terminal)}).root().Find(strings.Fields(command)); !ok || err != nil || c.ValidateArgs(left) != nil || !c.Runnable() {
			t.Errorf("the hint for a %s names no command: %s, %v", thing, &text, err)
		}
	}
}

// TestRunThatDidNotCompleteIsReported: the error of commands that wait for a run.
func TestRunThatDidNotCompleteIsReported(t *testing.T) {
	t.Parallel()
	for status, want := range map[flawless.Status]string{
		flawless.Completed:  "<nil>",
		flawless.Failed:     "run order-7 failed: no stock: the run did not complete",
		flawless.Cancelled:  "run order-7 was cancelled: no stock: the run did not complete",
		flawless.Terminated: "run order-7 was terminated: no stock: the run did not complete",
		flawless.Paused:     "run order-7 is paused: no stock: the run did not complete",
	} {
		err := ended(flawless.Run{ID: "order-7", Status: status, Failure: &flawless.Failure{Message: "no stock"}})
		if got := fmt.Sprint(err); got != want {
			t.Errorf("%s: %q, want %q", status, got, want)
		}
	}
}
