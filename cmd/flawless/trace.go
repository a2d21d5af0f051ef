package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/outfile"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) traceCommand() *cobra.Command {
	var o client.Trace
	var module, pprof string
	c := &cobra.Command{Use: "trace ID", Short: "Show which functions a run executed, and their cost", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `Replays the run on the server and shows, turn by turn, which functions it
executed: how often each was called from where, and what it cost in metered
units, with and without the functions it called. The trace
comes from the replay: nothing is recorded while a run executes. Functions of
the language runtime are omitted unless you give --all.`,
		Example: "  flawless workflow trace order-42 --turn 3\n  flawless workflow trace order-42 --func 'main\\.'\n" +
			"  flawless workflow trace order-42 --pprof run.pb.gz && go tool pprof -http=: run.pb.gz",
		RunE: func(c *cobra.Command, args []string) error {
			bin, err := local.ReadModule(module)
			if err != nil {
				return err
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			t, err := cl.Trace(c.Context(), args[0], o, bin)
			if err != nil {
				return err
			}
			switch {
			case pprof != "":
				err = a.writeProfile(pprof, t)
			case a.JSON:
				err = a.PrintJSON(t)
			default:
				for _, turn := range t.Turns {
					render.Turn(a.Out, turn)
				}
			}
			if err != nil || t.Divergence == nil {
				return err
			}
			if !a.JSON && pprof == "" {
				render.Divergence(a.Out, t.Divergence, render.Sources{Asked: "."})
			}
			return fmt.Errorf("the replay of run %s diverged in turn %d: %w", t.Run, t.Divergence.Turn, flawless.Diverged)
		}}
	f := c.Flags()
	f.Var(flagvalue.NewInt(&o.Turn, 0, 1, flagvalue.MaxInt), "turn", "show only this turn")
	f.Var(flagvalue.NewInt(&o.Depth, 0, 1, flagvalue.MaxInt), "depth", "maximum depth of the tree")
	f.StringVar(&o.Func, "func", "", "show only paths to functions whose name matches this regular expression")
	f.BoolVar(&o.All, "all", false, "include functions of the language runtime")
	f.StringVar(&module, "module", "", "trace with this module file instead of the run's own module")
	f.StringVar(&pprof, "pprof", "", "write a profile for go tool pprof to this file")
	return c
}

func (a *app) writeProfile(file string, t flawless.Trace) error {
	f, err := os.Create(file)
	if err != nil {
		return outfile.Refused(file, err)
	}
	if err := errors.Join(render.Profile(t).Write(f), f.Close()); err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	fmt.Fprintf(a.Errs, "wrote %s; open it with: go tool pprof -http=: %s\n", file, file)
	return nil
}
