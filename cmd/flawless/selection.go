package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagset"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

// changing is a command that changes one run or all selected runs.
type changing struct {
	verb, short string
	long        string
	ended       bool // for runs that have ended, not for open ones
	flags       func(c *cobra.Command)
	do          func(ctx context.Context, cl *client.Client, id, note string) (flawless.Run, error)
}

func (a *app) changeCommand(h changing) *cobra.Command {
	var which flagset.Runs
	var note string
	var yes bool
	c := &cobra.Command{Use: h.verb + " [ID]", Short: h.short, Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.CompleteRun,
		Long: strings.TrimSpace(h.short + ".\n\nGive the id of one run, or flags that select several. For several runs you are\nasked for confirmation first.\n\n" + h.long),
		RunE: func(c *cobra.Command, args []string) error {
			some, err := which.Read()
			if err != nil {
				return err
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			switch {
			case len(args) == 1 && some:
				return fmt.Errorf("give either the id of a run or flags that select runs, not both: %w", flawless.Invalid)
			case len(args) == 0 && !some:
				return fmt.Errorf("no run selected; give the id of a run, or select runs with flags such as --module or --status: %w", flawless.Invalid)
			case len(args) == 0 && c.Flags().Changed("id"):
				return fmt.Errorf("--id needs a single run; give the id of the run to restart instead of flags that select runs: %w", flawless.Invalid)
			case len(args) == 0:
				return a.changeAll(c.Context(), cl, h, which.Filter, note, yes)
			}
			r, err := h.do(c.Context(), cl, args[0], note)
			if err != nil || a.JSON {
				return a.OrPrint(err, r)
			}
			if r.ID != args[0] {
				fmt.Fprintln(a.Out, r.ID)
				return nil
			}
			if h.verb == "terminate" && r.Status != flawless.Terminated {
				fmt.Fprintf(a.Out, "run %s is already %s; its calls that had not begun were withdrawn\n", r.ID, r.Status)
				return nil
			}
			fmt.Fprintf(a.Out, "run %s is %s\n", r.ID, r.Status)
			return nil
		}}
	which.AddTo(c)
	if h.flags != nil {
		h.flags(c)
	}
	c.Flags().StringVar(&note, "note", "", "reason, kept in the log")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask for confirmation")
	return c
}

// changeAll changes all runs that a filter selects.
func (a *app) changeAll(ctx context.Context, cl *client.Client, h changing, f flawless.Filter, note string, yes bool) error {
	f.Limit = 1000
	var ids []string
	for r, err := range cl.All(ctx, f) {
		if err != nil {
			return err
		}
		if r.Status.Ended() == h.ended {
			ids = append(ids, r.ID)
		}
	}
	if !yes && len(ids) > 0 && !usage.Confirmed(a.In, a.Errs, fmt.Sprintf("%s %s?", h.verb, render.Count(len(ids), "run"))) {
		return fmt.Errorf("nothing was changed: you did not confirm that it is for %s; answer y, or use --yes: %w", render.Count(len(ids), "run"), flawless.Invalid)
	}
	var all []outcome
	for _, id := range ids {
		all = append(all, outcome{Run: id})
	}
	return a.changeEach(ctx, h.verb, "run", all, func(o outcome) (flawless.Run, error) { return h.do(ctx, cl, o.Run, note) })
}

// outcome is what became of a run, or of a call of it, that a command changes with others.
type outcome struct {
	Run   string `json:"run"`
	Call  int    `json:"call,omitempty"`
	Now   string `json:"now,omitempty"` // status of the run
	Error string `json:"error,omitempty"`
}

// changeEach changes one after another, and prints what became of them. what is the word for one.
func (a *app) changeEach(ctx context.Context, verb, what string, all []outcome, do func(o outcome) (flawless.Run, error)) error {
	var failed []error
	for i := range all {
		o := &all[i]
		r, err := do(*o)
		if err == nil {
			o.Now = string(r.Status)
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		o.Error = err.Error()
		failed = append(failed, err)
	}
	if a.JSON {
		if err := a.PrintJSON(all); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Out, "%s: %s\n", verb, render.Count(len(all)-len(failed), what))
	}
	return errors.Join(failed...)
}

func (a *app) cancelCommand() *cobra.Command {
	var within time.Duration
	c := a.changeCommand(changing{verb: "cancel", short: "Cancel a run and let its code clean up",
		do: func(ctx context.Context, cl *client.Client, id, note string) (flawless.Run, error) {
			w := flawless.Cancel{Who: endpoint.Who(), Note: note}
			if within > 0 {
				w.Deadline = time.Now().Add(within).UnixNano()
			}
			return cl.Cancel(ctx, id, w)
		}})
	c.Flags().Var(flagvalue.NewDuration(&within, 0, time.Millisecond, flawless.MaxDeadline), "deadline", "terminate the run if it is still open after this time, such as 5m")
	return c
}

func (a *app) terminateCommand() *cobra.Command {
	return a.changeCommand(changing{verb: "terminate", short: "End a run at once, without letting its code clean up",
		long: "Calls that wait for a retry or for a rate limit are withdrawn, even if the run\nhas already completed. Calls in flight are allowed to finish, and their\noutcomes are logged.",
		do: func(ctx context.Context, cl *client.Client, id, note string) (flawless.Run, error) {
			return cl.Terminate(ctx, id, flawless.Cancel{Who: endpoint.Who(), Note: note})
		}})
}

func (a *app) pauseCommand() *cobra.Command {
	return a.changeCommand(changing{verb: "pause", short: "Pause a run",
		long: "A paused run does not execute. Calls that it has already made are still carried\nout, and answers and messages are kept until the run is resumed.",
		do: func(ctx context.Context, cl *client.Client, id, note string) (flawless.Run, error) {
			return cl.Pause(ctx, id, flawless.Pause{Who: endpoint.Who(), Note: note})
		}})
}

func (a *app) resumeCommand() *cobra.Command {
	return a.changeCommand(changing{verb: "resume", short: "Resume a paused run",
		long: "This also releases runs that are held because the store is a copy. A run that\nwas paused before that needs a second resume.",
		do: func(ctx context.Context, cl *client.Client, id, note string) (flawless.Run, error) {
			return cl.Pause(ctx, id, flawless.Pause{Resume: true, Who: endpoint.Who(), Note: note})
		}})
}

func (a *app) restartCommand() *cobra.Command {
	var o client.Restart
	return a.changeCommand(changing{verb: "restart", short: "Run a failed, cancelled or terminated run again", ended: true,
		long: `Starts a new run with the input, labels, concurrency key and priority of the
old one, and with as much time until its deadline as the old one had. The new
run refers to the old one. It uses the version that was requested for the old
run, or else the newest. The command prints the id of the new run.`,
		flags: func(c *cobra.Command) {
			c.Flags().StringVar(&o.ID, "id", "", "id for the new run; the same id never starts a second run")
			c.Flags().StringVar(&o.Version, "version", "", "version of the module")
		},
		do: func(ctx context.Context, cl *client.Client, id, _ string) (flawless.Run, error) {
			return cl.Restart(ctx, id, o)
		}})
}
