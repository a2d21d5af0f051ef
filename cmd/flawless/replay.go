package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

func (a *app) replayRunCommand() *cobra.Command {
	var module string
	var source sources
	c := &cobra.Command{Use: "replay ID", Short: "Replay a run from its log, without sending anything", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		Long: `Replays a run on the server from its log. Nothing is sent, and the run is not
changed.

With --module the log is replayed with other code. The output then shows log
lines that are new, and where the code makes a call that differs from the log,
with both sides.`,
		Example: "  flawless workflow replay order-42\n  flawless workflow replay order-42 --module fixed.wasm --source .",
		RunE: func(c *cobra.Command, args []string) error {
			bin, err := readModule(module)
			if err != nil {
				return err
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			r, err := cl.Replay(c.Context(), args[0], bin)
			if err != nil {
				return err
			}
			return a.printReplay(r, source)
		}}
	f := c.Flags()
	f.StringVar(&module, "module", "", "replay with this module file instead of the run's own module")
	source.flags(c)
	return c
}

// readModule returns the bytes of a file, nil where none is named.
func readModule(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	bin, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the module: %v: %w", err, flawless.NotFound)
	}
	if len(bin) == 0 {
		return nil, fmt.Errorf("the module file %s is empty: %w", file, flawless.Invalid)
	}
	return bin, nil
}

// printReplay shows a replay. It returns an error where that diverged.
func (a *app) printReplay(r flawless.Replay, source sources) error {
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		with := "its own module"
		if !r.Own {
			with = "another module"
		}
		fmt.Fprintf(a.out, "replayed run %s (%s/%s) with %s (%.12s)\n", r.Run, r.Module, r.Workflow, with, r.Digest)
		fmt.Fprintf(a.out, "%d of %d turns, %d calls, %d units in %v; memory %s, hash %.16s\n", r.Turns, r.Of, r.Calls, r.Cost, r.Took.Round(10*time.Microsecond), size(r.Memory), r.Hash)
	}
	if !a.json {
		a.printLines(r)
	}
	if r.Divergence == nil {
		return nil
	}
	if !a.json {
		a.printDivergence(r.Divergence, source.of(r.Own))
	}
	return fmt.Errorf("the replay of run %s diverged in turn %d: %w", r.Run, r.Divergence.Turn, flawless.Diverged)
}

// printLines shows what the code printed in a replay and the log does not have.
func (a *app) printLines(r flawless.Replay) {
	for _, l := range r.Lines {
		fmt.Fprintf(a.out, "turn %d  %s\n", l.Turn, lineText(l.Line))
	}
	if r.More > 0 {
		fmt.Fprintf(a.out, "and %d more lines\n", r.More)
	}
}
