package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagset"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

func (a *app) scheduleCommand() *cobra.Command {
	c := &cobra.Command{Use: "schedule", Short: "Start runs at set times (cron)", Args: cobra.NoArgs, RunE: usage.NeedsCommand}
	c.AddCommand(a.scheduleAddCommand(), a.scheduleListCommand(), a.scheduleShowCommand(), a.scheduleTimesCommand(),
		a.schedulePauseCommand(),
		a.scheduleChangeCommand("resume NAME", "Resume a paused schedule", (*client.Client).ResumeSchedule),
		a.scheduleTriggerCommand(), a.scheduleBackfillCommand(),
		&cobra.Command{Use: "rm NAME", Short: "Remove a schedule; its runs are not affected", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
			RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
				if err := cl.RemoveSchedule(c.Context(), args[0]); err != nil || a.JSON {
					return a.OrPrint(err, map[string]string{"removed": args[0]})
				}
				fmt.Fprintf(a.Out, "removed schedule %s\n", args[0])
				return nil
			})})
	return c
}

func (a *app) scheduleAddCommand() *cobra.Command {
	var s flawless.Schedule
	var input, overlap string
	var jitter, catchUp time.Duration
	var replace bool
	var labels flagvalue.Labels
	var t startFlags
	c := &cobra.Command{Use: "add NAME MODULE WORKFLOW", Short: "Add a schedule", Args: cobra.ExactArgs(3),
		ValidArgsFunction: func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.CompleteWorkflow(c, args[1:], prefix)
		},
		Long: `Starts a run at each time of a cron expression: minute, hour, day of the
month, month, day of the week. A sixth field in front gives seconds, and words
such as @daily work too. A seventh field, after the day of the week, gives
years. When clocks go back, a time that occurs twice starts one run, at the
first occurrence; when they go forward, a time that is skipped starts its run
at the change. The id of a run is NAME@TIME, so a crash never starts it twice.

--overlap says what to do if the previous run is still open: skip this time,
queue one run, allow both, or cancel the previous run and start when it has
ended. --version, --concurrency-key, --priority and --deadline apply to each
run, as in workflow start. --replace replaces everything: options that you do
not give return to their defaults.`,
		Example: "  flawless schedule add nightly --cron '30 2 * * *' --zone Europe/Berlin shop report --input '{\"days\":1}'",
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(flawless.Overlaps, flawless.Overlap(overlap)) {
				return fmt.Errorf("--overlap is %q; use %s: %w", overlap, flagset.Alternatives(flawless.Overlaps), flawless.Invalid)
			}
			in, err := a.readInput(input)
			if err != nil {
				return err
			}
			s.Name, s.Module, s.Workflow, s.Input, s.Overlap = args[0], args[1], args[2], in, flawless.Overlap(overlap)
			if err := t.check(); err != nil {
				return err
			}
			s.Version, s.Queue, s.DeadlineMS, s.GraceMS = t.version, t.queueOptions(), t.deadline.Milliseconds(), t.grace.Milliseconds()
			s.JitterMS, s.CatchUpMS = jitter.Milliseconds(), catchUp.Milliseconds()
			s.Labels = labels
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			out, err := cl.SetSchedule(c.Context(), s, replace)
			if err != nil || a.JSON {
				return a.OrPrint(err, out)
			}
			if out.Paused {
				fmt.Fprintf(a.Out, "schedule %s is paused; flawless schedule resume %s makes it start %s/%s\n", out.Name, out.Name, out.Module, out.Workflow)
				return nil
			}
			fmt.Fprintf(a.Out, "schedule %s starts %s/%s next at %s\n", out.Name, out.Module, out.Workflow, render.OptionalTime(out.Next))
			return nil
		}}
	f := c.Flags()
	f.StringVar(&s.Cron, "cron", "", "cron expression, such as '30 2 * * MON-FRI'")
	f.StringVar(&s.Zone, "zone", "UTC", "time zone, such as Europe/Berlin")
	f.StringVar(&input, "input", "", "JSON, @FILE, or - for standard input")
	f.StringVar(&overlap, "overlap", string(flawless.Skip), "what to do if the previous run is still open: skip, queue, allow or cancel")
	f.Var(flagvalue.NewDuration(&jitter, 0, 0, flawless.MaxJitter), "jitter", "delay each start by a random time up to this, but not past the next start")
	f.Var(flagvalue.NewDuration(&catchUp, time.Hour, flawless.MinCatchUp, flawless.MaxDeadline), "catch-up", "start runs that were missed while the server was down, up to this long ago")
	f.Var(flagvalue.NewInt(&s.CatchUpLimit, 100, 1, flawless.MaxCatchUpLimit), "catch-up-limit", "start at most this many missed runs, the newest; the others are not started")
	f.Var(&labels, "label", "label for its runs, as name=value (repeatable)")
	f.BoolVar(&replace, "replace", false, "replace an existing schedule of the same name")
	f.BoolVar(&s.Paused, "paused", false, "create the schedule paused")
	f.StringVar(&s.Note, "note", "", "reason, with --paused")
	t.addTo(a, c, 1)
	_ = c.MarkFlagRequired("cron")
	_ = c.RegisterFlagCompletionFunc("overlap", cobra.FixedCompletions([]string{"skip", "queue", "allow", "cancel"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) scheduleListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List schedules", Args: cobra.NoArgs,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
			all, err := cl.Schedules(c.Context())
			if err != nil || a.JSON {
				return a.OrPrint(err, all)
			}
			var rows [][]string
			for _, s := range all {
				detail := s.Problem
				if s.Paused {
					detail = strings.TrimSuffix("paused: "+s.Note, ": ")
				}
				rows = append(rows, []string{s.Name, s.Cron, s.Zone, s.Module + "/" + s.Workflow, render.OptionalTime(s.Next), fmt.Sprint(s.Started), fmt.Sprint(s.Missed), render.Shorten(detail, 80)})
			}
			a.Table("NAME\tCRON\tZONE\tWORKFLOW\tNEXT\tSTARTED\tMISSED\tDETAIL", rows)
			return nil
		})}
}

func (a *app) scheduleShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show a schedule", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			s, err := cl.Schedule(c.Context(), args[0])
			if err != nil || a.JSON {
				return a.OrPrint(err, s)
			}
			render.Schedule(a.Out, s)
			return nil
		})}
}

func (a *app) scheduleTimesCommand() *cobra.Command {
	var s flawless.Schedule
	var count int
	c := &cobra.Command{Use: "times [NAME]", Short: "List the next times of a schedule or a cron expression", Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeSchedule,
		Long: `Lists the next times of a schedule, or of a cron expression that you want to
try. They are those without jitter, even if the schedule is paused.`,
		Example: "  flawless schedule times nightly\n  flawless schedule times --cron '30 2 * * MON-FRI' --zone Europe/Berlin",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			if (len(args) == 1) == (s.Cron != "") {
				return fmt.Errorf("give the name of a schedule or --cron: %w", flawless.Invalid)
			}
			if len(args) == 1 {
				var err error
				if s, err = cl.Schedule(c.Context(), args[0]); err != nil {
					return err
				}
			}
			times, err := cl.ScheduleTimes(c.Context(), s.Cron, s.Zone, count)
			if err != nil || a.JSON {
				return a.OrPrint(err, times)
			}
			for _, at := range times {
				fmt.Fprintln(a.Out, render.Time(at))
			}
			return nil
		})}
	c.Flags().StringVar(&s.Cron, "cron", "", "cron expression, instead of a schedule")
	c.Flags().StringVar(&s.Zone, "zone", "", "time zone of --cron, such as Europe/Berlin (default UTC)")
	c.Flags().VarP(flagvalue.NewInt(&count, 10, 1, 100), "count", "n", "number of times")
	return c
}

func (a *app) scheduleChangeCommand(use, short string, do func(*client.Client, context.Context, string) (flawless.Schedule, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			s, err := do(cl, c.Context(), args[0])
			if err != nil || a.JSON {
				return a.OrPrint(err, s)
			}
			if s.Paused {
				fmt.Fprintf(a.Out, "schedule %s is paused\n", s.Name)
			} else {
				fmt.Fprintf(a.Out, "schedule %s starts its next run at %s\n", s.Name, render.OptionalTime(s.Next))
			}
			return nil
		})}
}

func (a *app) schedulePauseCommand() *cobra.Command {
	var note string
	c := a.scheduleChangeCommand("pause NAME", "Pause a schedule", func(cl *client.Client, ctx context.Context, name string) (flawless.Schedule, error) {
		return cl.PauseSchedule(ctx, name, note)
	})
	c.Flags().StringVar(&note, "note", "", "reason")
	return c
}

func (a *app) scheduleTriggerCommand() *cobra.Command {
	var key string
	c := &cobra.Command{Use: "trigger NAME", Short: "Start a run of a schedule now", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			r, started, err := cl.TriggerSchedule(c.Context(), args[0], key)
			if err != nil || a.JSON {
				return a.OrPrint(err, map[string]any{"run": r, "started": started})
			}
			fmt.Fprintln(a.Out, r.ID)
			if !started {
				fmt.Fprintf(a.Errs, "run %s already exists (%s); nothing was started\n", r.ID, r.Status)
			}
			return nil
		})}
	c.Flags().StringVar(&key, "key", "", "key of this run; the same key never starts a second run")
	return c
}

func (a *app) scheduleBackfillCommand() *cobra.Command {
	var from, to flagvalue.Time
	c := &cobra.Command{Use: "backfill NAME", Short: "Start runs for past times that have none", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		Long: `Starts a run for each time of the schedule in a range, unless it already has
one. All of them start at once.`,
		Example: "  flawless schedule backfill nightly --from 2026-03-01 --to 2026-03-08",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			b, err := cl.BackfillSchedule(c.Context(), args[0], time.Time(from), time.Time(to))
			if err != nil || a.JSON {
				return a.OrPrint(err, b)
			}
			for _, id := range b.Started {
				fmt.Fprintln(a.Out, id)
			}
			fmt.Fprintf(a.Errs, "started %s, %d existed already\n", render.Count(len(b.Started), "run"), len(b.Known))
			for _, id := range b.Taken {
				fmt.Fprintf(a.Errs, "%s was not started: its id belongs to a run that this schedule did not start\n", id)
			}
			return nil
		})}
	c.Flags().Var(&from, "from", "start of the range (inclusive), such as 2026-03-01 or 2026-03-01T06:00:00Z")
	c.Flags().Var(&to, "to", "end of the range (exclusive)")
	_ = c.MarkFlagRequired("from")
	_ = c.MarkFlagRequired("to")
	return c
}

func (a *app) completeSchedule(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return terminal.Complete(a.Terminal, c, args, (*client.Client).Schedules, func(s flawless.Schedule) string { return s.Name + "\t" + s.Cron + " " + s.Zone })
}
