package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) logCommand() *cobra.Command {
	var follow, stack bool
	c := &cobra.Command{Use: "log ID", Short: "Print the log of a run", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			records := cl.WholeLog(c.Context(), args[0])
			if follow {
				records = cl.Follow(c.Context(), args[0], 0)
			}
			p := render.NewLog(a.Out)
			if stack {
				if follow {
					return fmt.Errorf("--stack and --follow cannot be combined, because the stacks come from a replay: %w", flawless.Invalid)
				}
				t, err := cl.Trace(c.Context(), args[0], client.Trace{Depth: 1}, nil)
				if err != nil {
					return err
				}
				for _, turn := range t.Turns {
					for _, made := range turn.Calls {
						p.SetStack(made.N, made.Stack)
					}
				}
				if a.JSON {
					return a.PrintJSON(p.Stacks())
				}
			}
			for rec, err := range records {
				if err != nil {
					return err
				}
				if a.JSON {
					if err := a.PrintLine(rec); err != nil {
						return err
					}
					continue
				}
				p.Record(rec)
			}
			return nil
		})}
	c.Flags().BoolVar(&stack, "stack", false, "show the call stack at each call, from a replay")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "keep printing until the run has ended")
	return c
}
