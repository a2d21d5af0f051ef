package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) workflowCommand() *cobra.Command {
	c := &cobra.Command{Use: "workflow", Aliases: []string{"wf"}, Short: "Start, list, inspect and control runs", Args: cobra.NoArgs, RunE: usage.NeedsCommand}
	c.AddCommand(a.startCommand(), a.listCommand(), a.showCommand(), a.logCommand(), a.dataCommand(), a.outputCommand(),
		a.resolveCommand(), a.retryCommand(), a.replayRunCommand(), a.exportCommand(), a.importCommand(), a.traceCommand(), a.forkCommand(), a.diffCommand(), a.inspectCommand(),
		a.cancelCommand(), a.terminateCommand(), a.pauseCommand(), a.resumeCommand(), a.restartCommand(), a.sendCommand(), a.promiseCommand())
	return c
}

func (a *app) startCommand() *cobra.Command {
	var input string
	var start client.Start
	var wait bool
	var labels flagvalue.Labels
	var t startFlags
	c := &cobra.Command{Use: "start MODULE WORKFLOW", Short: "Start a run", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeWorkflow,
		Long: `Starts a run and prints its id. With --id, the same id starts only one run, no
matter how often you repeat the command. Without --id, the client generates
one, and sends the request again for up to a minute if the answer is lost.`,
		Example: "  flawless workflow start shop checkout --input '{\"card\":\"4711\"}' --id order-42 --wait\n  flawless workflow start shop checkout --input @order.json",
		RunE: func(c *cobra.Command, args []string) error {
			in, err := a.readInput(input)
			if err != nil {
				return err
			}
			if err := t.check(); err != nil {
				return err
			}
			start.Module, start.Workflow, start.Input, start.Labels = args[0], args[1], in, labels
			start.Version, start.ConcurrencyKey, start.Concurrency, start.Priority = t.version, t.place.Key, t.place.Limit, t.place.Priority
			cl, err := a.connect()
			if err != nil {
				return err
			}
			if t.deadline > 0 {
				at := time.Now().Add(t.deadline)
				start.Deadline = &at
			}
			if t.grace > 0 {
				start.Grace = t.grace.String()
			}
			r, started, err := cl.Start(c.Context(), start, wait)
			if err != nil {
				return withoutInput(in, err)
			}
			switch {
			case a.json:
				err = a.printJSON(map[string]any{"run": r, "started": started})
			case wait:
				if !started {
					fmt.Fprintf(a.errs, "run %s already exists; nothing was started\n", r.ID)
				}
				fmt.Fprintf(a.errs, "run %s: %s\n", r.ID, r.Status)
				if len(r.Output) > 0 {
					fmt.Fprintln(a.out, string(r.Output))
				}
			case started:
				fmt.Fprintln(a.out, r.ID)
			default:
				fmt.Fprintln(a.out, r.ID)
				fmt.Fprintf(a.errs, "run %s already exists (%s); nothing was started\n", r.ID, r.Status)
			}
			if wait && err == nil {
				err = a.ended(r)
			}
			return err
		}}
	f := c.Flags()
	f.StringVar(&input, "input", "", "JSON, @FILE, or - for standard input")
	f.StringVar(&start.ID, "id", "", "id for the run, for example an order number; the same id never starts a second run")
	t.addTo(a, c, 0)
	f.BoolVar(&wait, "wait", false, "wait until the run has ended or needs a decision, then print its output")
	f.Var(&labels, "label", "label to find the run by, as name=value (repeatable)")
	return c
}

// withoutInput adds to the error of a start that there was no input, if that is the cause.
func withoutInput(in json.RawMessage, err error) error {
	if in == nil && errors.Is(err, flawless.Invalid) && strings.Contains(err.Error(), "the input does not match") {
		return fmt.Errorf("without --input, the input is null: %w", err)
	}
	return err
}

// readInput reads JSON from a flag: the text itself, @FILE, or - for standard input.
func (a *app) readInput(s string) (json.RawMessage, error) {
	var b []byte
	var err error
	switch {
	case s == "":
		return nil, nil
	case s == "-":
		b, err = io.ReadAll(a.in)
	case strings.HasPrefix(s, "@"):
		b, err = os.ReadFile(s[1:])
	default:
		b = []byte(s)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the input: %v: %w", err, flawless.Invalid)
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(b, new(any)); errors.As(err, &syntax) {
		return nil, fmt.Errorf("the input is not valid JSON: %v at byte %d; quote it for your shell, or use --input @FILE: %w", err, syntax.Offset, flawless.Invalid)
	}
	return b, nil
}

// ended returns an error unless a run completed. It also prints a note about messages that the run did not
// receive.
func (a *app) ended(r flawless.Run) error {
	if r.Mail > 0 && r.Status.Ended() {
		fmt.Fprintf(a.errs, "note: the run ended without receiving %s; see: flawless workflow show %s\n", render.Count(r.Mail, "message"), r.ID)
	}
	return ended(r)
}

func ended(r flawless.Run) error {
	switch r.Status {
	case flawless.Completed:
		return nil
	case flawless.Unresolved:
		return fmt.Errorf("run %s: %s; see: flawless workflow show %s: %w", r.ID, exit.Unresolved, r.ID, exit.Unresolved)
	}
	text := "is " + string(r.Status)
	switch r.Status {
	case flawless.Failed:
		text = "failed"
	case flawless.Cancelled, flawless.Terminated:
		text = "was " + string(r.Status)
	}
	if r.Failure != nil {
		text += ": " + r.Failure.Message
	}
	return fmt.Errorf("run %s %s: %w", r.ID, text, exit.NotCompleted)
}

func (a *app) listCommand() *cobra.Command {
	var which selection
	f := &which.filter
	var all bool
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List runs, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := which.read(); err != nil {
				return err
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			var runs []flawless.Run
			next := ""
			if all {
				f.Limit = 1000
				for r, err := range cl.All(c.Context(), *f) {
					if err != nil {
						return err
					}
					runs = append(runs, r)
				}
			} else if runs, next, err = onePage(c.Context(), cl, *f); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"runs": runs, "next": next})
			}
			var rows [][]string
			for _, r := range runs {
				rows = append(rows, []string{r.ID, r.Module + "/" + r.Workflow, string(r.Status), render.Time(r.Created), render.Detail(r)})
			}
			a.table("ID\tWORKFLOW\tSTATUS\tCREATED\tDETAIL", rows)
			if next != "" {
				fmt.Fprintf(a.errs, "there are more; continue with --cursor %s, or use --all\n", next)
			}
			return nil
		}}
	fl := c.Flags()
	which.flags(c)
	fl.Var(flagvalue.NewInt(&f.Limit, 50, 1, 1000), "limit", "maximum number to list, up to 1000")
	fl.StringVar(&f.Cursor, "cursor", "", "continue where the previous page ended")
	fl.BoolVar(&all, "all", false, "list all runs")
	return c
}

// onePage returns a full page of runs. The server may return fewer than the limit to answer quickly, so this asks
// again.
func onePage(ctx context.Context, cl *client.Client, f flawless.Filter) (runs []flawless.Run, next string, err error) {
	limit := f.Limit
	for {
		page, next, err := cl.Runs(ctx, f)
		runs = append(runs, page...)
		if err != nil || next == "" || limit <= len(runs) {
			return runs, next, err
		}
		f.Limit, f.Cursor = limit-len(runs), next
	}
}

func (a *app) dataCommand() *cobra.Command {
	return &cobra.Command{Use: "data ID", Short: "Print the data that a run published last", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			d, err := cl.Data(c.Context(), args[0])
			return orPrint(a, err, d)
		})}
}

func (a *app) outputCommand() *cobra.Command {
	var wait bool
	c := &cobra.Command{Use: "output ID", Short: "Print the output of a run", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			r, err := cl.Run(c.Context(), args[0], wait)
			if err != nil {
				return err
			}
			if r.Status != flawless.Completed {
				return a.ended(r)
			}
			fmt.Fprintln(a.out, string(r.Output))
			return nil
		})}
	c.Flags().BoolVar(&wait, "wait", false, "wait until the run has ended or needs a decision")
	return c
}

func (a *app) resolveCommand() *cobra.Command {
	var d flawless.Decision
	var retry, fail bool
	var response, tell string
	c := &cobra.Command{Use: "resolve ID", Short: "Decide about a call whose outcome is unknown", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		Long: `A run is unresolved if a request was sent and no answer came. The engine does
not know whether the call took effect, so it never sends the call again by
itself. Find out what happened, then use one of:

  --retry           it did not take effect: send it again
  --response FILE   it took effect; FILE is the body of the answer, and - is
                    standard input
  --error TEXT      return this error to the code, so that it can compensate
  --fail            fail the run

If the server that made the call was not seen to stop, it may still send it. So
make sure first that its process has ended: --retry asks, or needs --yes.`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case retry:
				d.Resolution = flawless.Retry
			case fail:
				d.Resolution = flawless.Fail
			case c.Flags().Changed("error"):
				d.Resolution, d.Text = flawless.Tell, tell
			default:
				b, err := a.readFile(response)
				if err != nil {
					return err
				}
				d.Resolution, d.Body = flawless.Respond, b
			}
			d.Who = endpoint.Who()
			cl, err := a.connect()
			if err != nil {
				return err
			}
			if retry && !d.Confirm {
				d.Confirm = a.confirmsUnseen(c.Context(), cl, args[0], d.Call)
			}
			r, err := cl.Resolve(c.Context(), args[0], d)
			if err != nil || a.json {
				return orPrint(a, err, r)
			}
			fmt.Fprintf(a.out, "call %d of run %s: %s; the run is %s\n", d.Call, r.ID, d.Resolution, r.Status)
			return nil
		}}
	f := c.Flags()
	f.Var(flagvalue.NewInt(&d.Call, 0, 1, flagvalue.MaxInt), "call", "number of the call")
	f.BoolVar(&retry, "retry", false, "it did not take effect: send it again")
	f.StringVar(&response, "response", "", "it took effect, and this file is the body of the answer")
	f.Var(flagvalue.NewInt(&d.Status, 200, 200, 599), "status", "HTTP status of --response")
	f.StringVar(&tell, "error", "", "return this error to the code")
	f.BoolVar(&fail, "fail", false, "fail the run")
	f.StringVar(&d.Note, "note", "", "reason, kept in the log")
	f.BoolVarP(&d.Confirm, "yes", "y", false, "with --retry: do not ask for confirmation")
	_ = c.MarkFlagRequired("call")
	c.MarkFlagsOneRequired("retry", "response", "error", "fail")
	c.MarkFlagsMutuallyExclusive("retry", "response", "error", "fail")
	return c
}

// confirmsUnseen asks whether to send a call again whose server was not seen to stop. If not, the server refuses the retry.
func (a *app) confirmsUnseen(ctx context.Context, cl *client.Client, id string, call int) bool {
	r, err := cl.Run(ctx, id, false)
	unseen := err == nil && slices.ContainsFunc(r.Unresolved, func(d flawless.Doubt) bool { return d.Call == call && d.Unseen })
	return unseen && usage.Confirmed(a.in, a.errs, fmt.Sprintf("The server that made call %d was not seen to stop, so it may still send the request. Send it again?", call))
}

func (a *app) readFile(name string) ([]byte, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(a.in)
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the response: %v: %w", err, flawless.Invalid)
	}
	return b, nil
}
