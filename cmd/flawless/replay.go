package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) replayRunCommand() *cobra.Command {
	var module string
	var source render.Sources
	c := &cobra.Command{Use: "replay ID", Short: "Replay a run from its log, without sending anything", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `Replays a run on the server from its log. Nothing is sent, and the run is not
changed.

With --module the log is replayed with other code. The output then shows log
lines that are new, and where the code makes a call that differs from the log,
with both sides.`,
		Example: "  flawless workflow replay order-42\n  flawless workflow replay order-42 --module fixed.wasm --source .",
		RunE: func(c *cobra.Command, args []string) error {
			bin, err := local.ReadModule(module)
			if err != nil {
				return err
			}
			cl, err := a.Connect()
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
	source.AddTo(c.Flags())
	return c
}

// printReplay prints the result of a replay, and returns an error if it diverged.
func (a *app) printReplay(r flawless.Replay, source render.Sources) error {
	if a.JSON {
		if err := a.PrintJSON(r); err != nil {
			return err
		}
	} else {
		render.Replay(a.Out, r, source)
	}
	if r.Divergence == nil {
		return nil
	}
	return fmt.Errorf("the replay of run %s diverged in turn %d: %w", r.Run, r.Divergence.Turn, flawless.Diverged)
}
