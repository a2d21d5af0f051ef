package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/examine"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagset"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) forkCommand() *cobra.Command {
	var o client.Fork
	var answers, statuses []string
	var module string
	var offline bool
	c := &cobra.Command{Use: "fork ID --turn N", Short: "Start a new run from a turn of another run", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `Starts a new run that shares the log of another one up to and including a
turn, and lets it continue: with other code (--module or --version), with a
different answer to a call (--answer), or unchanged. Calls that the other run
made by then get the same answers, even those that arrived later. A call whose
outcome is unknown waits for a decision.

With --offline nothing is sent and nothing is stored. Calls that are in the
log of the other run get their answers from there, sleeps end at once, and the
first call that is not in the log is shown and ends the command.`,
		Example: "  flawless workflow fork order-42 --turn 3 --module fixed.wasm\n  flawless workflow fork order-42 --turn 3 --answer 4=declined.json --status 4=402 --offline",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if !c.Flags().Changed("turn") {
				return &exit.UsageError{Command: c.CommandPath(), Err: fmt.Errorf("give the last shared turn with --turn; 0 shares only the start")}
			}
			if o.Answers, err = flagset.Answers(answers, statuses); err != nil {
				return err
			}
			if o.Module, err = local.ReadModule(module); err != nil {
				return err
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			o.Who = endpoint.Who()
			if offline {
				r, err := cl.Offline(c.Context(), args[0], o)
				if err != nil || a.JSON {
					return a.OrPrint(err, r)
				}
				render.Offline(a.Out, r)
				return nil
			}
			r, err := cl.Fork(c.Context(), args[0], o)
			if err != nil || a.JSON {
				return a.OrPrint(err, r)
			}
			fmt.Fprintln(a.Out, r.ID)
			return nil
		}}
	f := c.Flags()
	f.Var(flagvalue.NewInt(&o.Turn, 0, 0, flagvalue.MaxInt), "turn", "last turn that both runs share; 0 shares only the start")
	f.StringVar(&o.ID, "id", "", "id of the new run")
	f.StringArrayVar(&answers, "answer", nil, "CALL=FILE: answer the call with the body in FILE (repeatable)")
	f.StringArrayVar(&statuses, "status", nil, "CALL=STATUS: HTTP status of the answer to the call (default 200)")
	f.StringVar(&module, "module", "", "module file to continue with, instead of the module of the run")
	f.Var(flagvalue.NewInt(&o.Version, 0, 1, flagvalue.MaxInt), "version", "continue with this version of the run's module, by its number")
	c.MarkFlagsMutuallyExclusive("module", "version")
	f.BoolVar(&offline, "offline", false, "send and store nothing; show what the run would do")
	return c
}

func (a *app) diffCommand() *cobra.Command {
	return &cobra.Command{Use: "diff A B", Short: "Show the first turn where two runs differ", Args: cobra.ExactArgs(2), ValidArgsFunction: a.CompleteRun,
		Long: `Compares two runs turn by turn: workflow, input, answers, calls, data and end.
Times, randomness, log lines and the order of calls within a turn are not
compared.`,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			d, err := cl.Diff(c.Context(), args[0], args[1])
			if err != nil || a.JSON {
				return a.OrPrint(err, d)
			}
			render.Difference(a.Out, d)
			return nil
		})}
}

func (a *app) inspectCommand() *cobra.Command {
	var turn, against int
	var text, first, stack bool
	var find string
	c := &cobra.Command{Use: "inspect ID", Short: "Show the state of a run after a turn", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `Replays a run up to a turn and shows its memory, where its goroutines wait,
its data, its open calls and its next timer. With --against, the memory is
compared with the memory after another turn. With --source, the lines around
each position are shown, if the module contains its source. With --stack, the
stack of each open call is shown for modules in Rust, too; the module is
compiled once more for that.

With --find, it looks for a text in the data, calls and log lines of all turns
instead, and shows the turns that have it; with --first, only the first one.
It also takes a condition on one value: data, call or line, a path, one of
== != < <= > >= ~ (a regular expression), and JSON. call has n, kind, at, head
and body; line has level, text, at and fields.`,
		Example: "  flawless workflow inspect order-42 --turn 3 --source\n  flawless workflow inspect order-42 --find refused\n" +
			"  flawless workflow inspect order-42 --first --find 'data.step == \"paid\"'\n  flawless workflow inspect order-42 --find 'call.body.items[0].price > 100'",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			if find != "" {
				all, err := examine.Find(c.Context(), cl, args[0], find, first)
				if err != nil || a.JSON {
					return a.OrPrint(err, all)
				}
				render.Matches(a.Out, a.Errs, args[0], all)
				return nil
			}
			inspect := cl.Inspect
			if stack {
				inspect = cl.InspectStacks
			}
			i, err := inspect(c.Context(), args[0], turn, against)
			if err != nil || a.JSON {
				return a.OrPrint(err, i)
			}
			around := func(flawless.Site) string { return "" }
			if text {
				r, err := cl.Run(c.Context(), args[0], false)
				if err != nil {
					return err
				}
				around = examine.Source(c.Context(), cl, r.Module, i.Digest)
			}
			render.Inspection(a.Out, i, around)
			return nil
		})}
	c.Flags().BoolVar(&stack, "stack", false, "show the stack of each open call also for modules that are not in Go")
	c.Flags().BoolVar(&text, "source", false, "show the lines of source around each position")
	c.Flags().Var(flagvalue.NewInt(&turn, 0, 1, flagvalue.MaxInt), "turn", "show the state after this turn (default: the last turn)")
	c.Flags().Var(flagvalue.NewInt(&against, 0, 1, flagvalue.MaxInt), "against", "compare the memory with the memory after this turn")
	c.Flags().StringVar(&find, "find", "", "show the turns whose data, calls or log lines contain this text or meet this condition")
	c.Flags().BoolVar(&first, "first", false, "show only the first place that --find finds")
	c.MarkFlagsMutuallyExclusive("find", "turn")
	c.MarkFlagsMutuallyExclusive("find", "source")
	c.MarkFlagsMutuallyExclusive("find", "stack")
	c.MarkFlagsMutuallyExclusive("first", "turn")
	c.MarkFlagsMutuallyExclusive("first", "source")
	return c
}
