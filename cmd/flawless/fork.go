package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) forkCommand() *cobra.Command {
	var o client.Fork
	var answers, statuses []string
	var module string
	var offline bool
	c := &cobra.Command{Use: "fork ID --turn N", Short: "Start a new run from a turn of another run", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		Long: `Starts a new run that shares the log of another one up to and including a
turn, and lets it continue: with other code (--module), with a different
answer to a call (--answer), or unchanged. Calls that the other run made by
then get the same answers, even those that arrived later. A call whose outcome
is unknown waits for a decision.

With --offline nothing is sent and nothing is stored. Calls that are in the
log of the other run get their answers from there, sleeps end at once, and the
first call that is not in the log is shown and ends the command.`,
		Example: "  flawless workflow fork order-42 --turn 3 --module fixed.wasm\n  flawless workflow fork order-42 --turn 3 --answer 4=declined.json --status 4=402 --offline",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if !c.Flags().Changed("turn") {
				return &exit.UsageError{Command: c.CommandPath(), Err: fmt.Errorf("give the last shared turn with --turn; 0 shares only the start")}
			}
			if o.Answers, err = parseAnswers(answers, statuses); err != nil {
				return err
			}
			if o.Module, err = local.ReadModule(module); err != nil {
				return err
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			o.Who = endpoint.Who()
			if offline {
				r, err := cl.Offline(c.Context(), args[0], o)
				if err != nil || a.json {
					return orPrint(a, err, r)
				}
				render.Offline(a.out, r)
				return nil
			}
			r, err := cl.Fork(c.Context(), args[0], o)
			if err != nil || a.json {
				return orPrint(a, err, r)
			}
			fmt.Fprintln(a.out, r.ID)
			return nil
		}}
	f := c.Flags()
	f.Var(flagvalue.NewInt(&o.Turn, 0, 0, flagvalue.MaxInt), "turn", "last turn that both runs share; 0 shares only the start")
	f.StringVar(&o.ID, "id", "", "id of the new run")
	f.StringArrayVar(&answers, "answer", nil, "CALL=FILE: answer the call with the body in FILE (repeatable)")
	f.StringArrayVar(&statuses, "status", nil, "CALL=STATUS: HTTP status of the answer to the call (default 200)")
	f.StringVar(&module, "module", "", "module file to continue with, instead of the module of the run")
	f.BoolVar(&offline, "offline", false, "send and store nothing; show what the run would do")
	return c
}

// parseAnswers parses the values of --answer (CALL=FILE) and --status (CALL=STATUS).
func parseAnswers(files, statuses []string) (out []client.GivenAnswer, err error) {
	split := func(s, what string) (int, string, error) {
		call, rest, ok := strings.Cut(s, "=")
		n, err := strconv.Atoi(call)
		if !ok || err != nil || n < 1 {
			return 0, "", fmt.Errorf("%q is not CALL=%s, such as 4=%s: %w", s, what, strings.ToLower(what), flawless.Invalid)
		}
		return n, rest, nil
	}
	for _, s := range files {
		n, file, err := split(s, "FILE")
		if err != nil {
			return nil, err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the answer of call %d: %v: %w", n, err, flawless.Invalid)
		}
		out = append(out, client.GivenAnswer{Call: n, Body: b})
	}
	for _, s := range statuses {
		n, text, err := split(s, "STATUS")
		if err != nil {
			return nil, err
		}
		status, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not an HTTP status: %w", text, flawless.Invalid)
		}
		at := slices.IndexFunc(out, func(g client.GivenAnswer) bool { return g.Call == n })
		if at < 0 {
			out = append(out, client.GivenAnswer{Call: n})
			at = len(out) - 1
		}
		out[at].Status = status
	}
	return out, nil
}

func (a *app) diffCommand() *cobra.Command {
	return &cobra.Command{Use: "diff A B", Short: "Show the first turn where two runs differ", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeRun,
		Long: `Compares two runs turn by turn: workflow, input, answers, calls, data and end.
Times, randomness, log lines and the order of calls within a turn are not
compared.`,
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			d, err := cl.Diff(c.Context(), args[0], args[1])
			if err != nil || a.json {
				return orPrint(a, err, d)
			}
			render.Difference(a.out, d)
			return nil
		})}
}

func (a *app) inspectCommand() *cobra.Command {
	var turn, against int
	var text bool
	var find string
	c := &cobra.Command{Use: "inspect ID", Short: "Show the state of a run after a turn", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		Long: `Replays a run up to a turn and shows its memory, where its goroutines wait,
its data, its open calls and its next timer. With --against, the memory is
compared with the memory after another turn. With --source, the lines around each
position are shown, if the module contains its source.

With --find, it looks for a text in the data, calls and log lines of all turns
instead, and shows the turns that have it.`,
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			if find != "" {
				return a.find(c.Context(), cl, args[0], find)
			}
			i, err := cl.Inspect(c.Context(), args[0], turn, against)
			if err != nil || a.json {
				return orPrint(a, err, i)
			}
			around := func(flawless.Site) string { return "" }
			if text {
				r, err := cl.Run(c.Context(), args[0], false)
				if err != nil {
					return err
				}
				around = sourceText(c.Context(), cl, r.Module, i.Digest)
			}
			render.Inspection(a.out, i, around)
			return nil
		})}
	c.Flags().BoolVar(&text, "source", false, "show the lines of source around each position")
	c.Flags().Var(flagvalue.NewInt(&turn, 0, 1, flagvalue.MaxInt), "turn", "show the state after this turn (default: the last turn)")
	c.Flags().Var(flagvalue.NewInt(&against, 0, 1, flagvalue.MaxInt), "against", "compare the memory with the memory after this turn")
	c.Flags().StringVar(&find, "find", "", "show the turns whose data, calls or log lines contain this text")
	for _, other := range []string{"turn", "against", "source"} {
		c.MarkFlagsMutuallyExclusive("find", other)
	}
	return c
}

// sourceText returns a function that finds the file of a position in the source of a module, "" if it is not there. It
// asks for each file once.
func sourceText(ctx context.Context, cl *client.Client, module, digest string) func(flawless.Site) string {
	known := map[string]string{}
	return func(at flawless.Site) string {
		text, asked := known[at.File]
		if !asked && at.File != "" {
			s, err := cl.Source(ctx, module, client.SourceOf{Digest: digest, File: at.File})
			if err == nil && len(s.Files) == 1 {
				text = s.Files[0].Text
			}
			known[at.File] = text
		}
		return text
	}
}

// find prints where a run has a text.
func (a *app) find(ctx context.Context, cl *client.Client, id, text string) error {
	var rows [][]string
	all := []flawless.Match{}
	for from := uint64(0); ; {
		page, err := cl.Find(ctx, id, text, from, 1000)
		if err != nil {
			return err
		}
		all = append(all, page.Matches...)
		if from = page.Next; from == 0 {
			break
		}
	}
	if a.json {
		return a.printJSON(all)
	}
	for _, m := range all {
		what := m.What
		if m.Call > 0 {
			what = fmt.Sprintf("call %d", m.Call)
		}
		rows = append(rows, []string{fmt.Sprint(m.Turn), what, m.Site, m.Text})
	}
	if len(rows) == 0 {
		fmt.Fprintf(a.errs, "no turn of run %s has this text in its data, calls or log lines\n", id)
		return nil
	}
	a.table("TURN\tWHERE\tSITE\tTEXT", rows)
	return nil
}
