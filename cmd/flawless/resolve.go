package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagset"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) resolveCommand() *cobra.Command {
	var d flawless.Decision
	var retry, fail, yes bool
	var response, tell string
	var which flagset.Calls
	c := &cobra.Command{Use: "resolve [ID]", Short: "Decide about calls whose outcome is unknown", Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: `A run is unresolved if a request was sent and no answer came. The engine does
not know whether the call took effect, so it never sends the call again by
itself. Find out what happened, then use one of:

  --retry           it did not take effect: send it again
  --response FILE   it took effect; FILE is the body of the answer, and - is
                    standard input
  --error TEXT      return this error to the code, so that it can compensate
  --fail            fail the run

Give the id of a run and the number of its call, or flags that select several
calls: --host and --reason, --since, --after and --before (since when the
outcome is unknown), or flags that select runs. You are asked for confirmation
first. Each decision is logged in its run, with your name and the note. A call
about which somebody else has decided in the meantime is left alone, and you see
who did.

If the server that made a call was not seen to stop, it may still send it. So
make sure first that its process has ended: --retry asks, or needs --yes.`,
		Example: "  flawless workflow resolve order-42 --call 3 --retry --note \"not on the statement\"\n  flawless workflow resolve --host pay.example.com --since 1h --retry --note \"INC-7: nothing was booked\"",
		RunE: func(c *cobra.Command, args []string) error {
			some, err := which.Read()
			switch {
			case err != nil:
				return err
			case len(args) == 1 && some:
				return fmt.Errorf("give either the id of a run or flags that select calls, not both: %w", flawless.Invalid)
			case len(args) == 0 && !some:
				return fmt.Errorf("no call selected; give the id of a run and --call, or select calls with flags such as --host or --module: %w", flawless.Invalid)
			case len(args) == 1 && d.Call == 0:
				return fmt.Errorf("--call must be given with the id of a run; see: flawless workflow show %s: %w", args[0], flawless.Invalid)
			}
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
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.resolveAll(c.Context(), cl, &which, d, yes)
			}
			if retry {
				d.Confirm = yes || a.confirmsUnseen(c.Context(), cl, args[0], d.Call)
			}
			r, err := cl.Resolve(c.Context(), args[0], d)
			if err != nil || a.JSON {
				return a.OrPrint(err, r)
			}
			fmt.Fprintf(a.Out, "call %d of run %s: %s; the run is %s\n", d.Call, r.ID, d.Resolution, r.Status)
			return nil
		}}
	f := c.Flags()
	f.Var(flagvalue.NewInt(&d.Call, 0, 1, flagvalue.MaxInt), "call", "number of the call; with flags that select several, only calls with this number")
	f.BoolVar(&retry, "retry", false, "it did not take effect: send it again")
	f.StringVar(&response, "response", "", "it took effect, and this file is the body of the answer")
	f.Var(flagvalue.NewInt(&d.Status, 200, 200, 599), "status", "HTTP status of --response")
	f.StringVar(&tell, "error", "", "return this error to the code")
	f.BoolVar(&fail, "fail", false, "fail the run")
	f.StringVar(&d.Note, "note", "", "reason, kept in the log")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask for confirmation")
	which.AddTo(c)
	c.MarkFlagsOneRequired("retry", "response", "error", "fail")
	c.MarkFlagsMutuallyExclusive("retry", "response", "error", "fail")
	return c
}

// confirmsUnseen asks whether to send a call again whose server was not seen to stop. If not, the server refuses the retry.
func (a *app) confirmsUnseen(ctx context.Context, cl *client.Client, id string, call int) bool {
	r, err := cl.Run(ctx, id, false)
	unseen := err == nil && slices.ContainsFunc(r.Unresolved, func(d flawless.Doubt) bool { return d.Call == call && d.Unseen })
	return unseen && usage.Confirmed(a.In, a.Errs, fmt.Sprintf("The server that made call %d was not seen to stop, so it may still send the request. Send it again?", call))
}

func (a *app) readFile(name string) ([]byte, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(a.In)
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the response: %v: %w", err, flawless.Invalid)
	}
	return b, nil
}

// resolveAll carries out the same decision about all selected calls, one after another.
func (a *app) resolveAll(ctx context.Context, cl *client.Client, which *flagset.Calls, d flawless.Decision, yes bool) error {
	var all []outcome
	runs, unseen := map[string]bool{}, 0
	for r, err := range cl.All(ctx, which.Runs()) {
		if err != nil {
			return err
		}
		for _, x := range r.Unresolved {
			if which.Selects(x) && (d.Call == 0 || d.Call == x.Call) {
				all = append(all, outcome{Run: r.ID, Call: x.Call})
				runs[r.ID] = true
				if x.Unseen && d.Resolution == flawless.Retry {
					unseen++
				}
			}
		}
	}
	what := render.Count(len(all), "call") + " of " + render.Count(len(runs), "run")
	if unseen > 0 {
		fmt.Fprintf(a.Errs, "the servers that made %s of these were not seen to stop, so they may still send the requests: make sure that their processes have ended\n", render.Count(unseen, "call"))
	}
	d.Confirm = d.Resolution == flawless.Retry
	if !yes && len(all) > 0 && !usage.Confirmed(a.In, a.Errs, fmt.Sprintf("%s for %s?", d.Resolution, what)) {
		return fmt.Errorf("nothing was decided: you did not confirm that it is for %s; answer y, or use --yes: %w", what, flawless.Invalid)
	}
	return a.changeEach(ctx, string(d.Resolution), "call", all, func(o outcome) (flawless.Run, error) {
		one := d
		one.Call = o.Call
		return cl.Resolve(ctx, o.Run, one)
	})
}
