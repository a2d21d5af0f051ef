package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

func (a *app) scheduleCommand() *cobra.Command {
	c := &cobra.Command{Use: "schedule", Short: "Start runs by the clock", Args: cobra.NoArgs, RunE: needsCommand}
	c.AddCommand(a.scheduleAddCommand(), a.scheduleListCommand(), a.scheduleShowCommand(),
		a.schedulePauseCommand(),
		a.scheduleChangeCommand("resume NAME", "Let a schedule go on with its next time", (*client.Client).ResumeSchedule),
		a.scheduleTriggerCommand(), a.scheduleBackfillCommand(),
		&cobra.Command{Use: "rm NAME", Short: "Remove a schedule; its runs are left alone", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
			RunE: func(c *cobra.Command, args []string) error {
				cl, err := a.connect()
				if err != nil {
					return err
				}
				if err := cl.RemoveSchedule(c.Context(), args[0]); err != nil || a.json {
					return orPrint(a, err, map[string]string{"removed": args[0]})
				}
				fmt.Fprintf(a.out, "schedule %s is removed\n", args[0])
				return nil
			}})
	return c
}

func (a *app) scheduleAddCommand() *cobra.Command {
	var s flawless.Schedule
	var input, overlap string
	var jitter, catchUp time.Duration
	var replace bool
	var labels labelFlag
	var t terms
	c := &cobra.Command{Use: "add NAME MODULE WORKFLOW", Short: "Add a schedule", Args: cobra.ExactArgs(3),
		ValidArgsFunction: func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeWorkflow(c, args[1:], prefix)
		},
		Long: "Starts a run at each time of a cron expression: minute, hour, day of the month, month, day of the week; with six fields\n" +
			"the first is seconds, and words such as @daily are known. A time that the clock of the zone shows twice has one run, the\n" +
			"first time; one that it jumps over has its run at the jump. The id of a run is NAME@TIME, so no crash starts it twice.\n\n" +
			"When the run before is still open, --overlap says what to do: skip this time, queue one, allow both, or cancel the one before\n" +
			"and start when it has ended. --version, --concurrency-key, --priority and --deadline hold for each of its runs, as they do for\n" +
			"workflow start. --replace sets all of these anew: what is not given is unset.",
		Example: "  flawless schedule add nightly --cron '30 2 * * *' --zone Europe/Berlin shop report --input '{\"days\":1}'",
		RunE: func(c *cobra.Command, args []string) error {
			in, err := a.readInput(input)
			if err != nil {
				return err
			}
			s.Name, s.Module, s.Workflow, s.Input, s.Overlap = args[0], args[1], args[2], in, flawless.Overlap(overlap)
			if s.CatchUpLimit < 1 {
				return fmt.Errorf("--catch-up-limit is %d, give 1 to 10000: %w", s.CatchUpLimit, flawless.Invalid)
			}
			if err := t.check(c); err != nil {
				return err
			}
			s.Version, s.Place, s.DeadlineMS, s.GraceMS = t.version, t.placed(), t.deadline.Milliseconds(), t.grace.Milliseconds()
			s.JitterMS, s.CatchUpMS = jitter.Milliseconds(), catchUp.Milliseconds()
			s.Labels = labels
			cl, err := a.connect()
			if err != nil {
				return err
			}
			out, err := cl.SetSchedule(c.Context(), s, replace)
			if err != nil || a.json {
				return orPrint(a, err, out)
			}
			if out.Paused {
				fmt.Fprintf(a.out, "schedule %s is paused; flawless schedule resume %s lets it start %s/%s\n", out.Name, out.Name, out.Module, out.Workflow)
				return nil
			}
			fmt.Fprintf(a.out, "schedule %s starts %s/%s next at %s\n", out.Name, out.Module, out.Workflow, moment(out.Next))
			return nil
		}}
	f := c.Flags()
	f.StringVar(&s.Cron, "cron", "", "when, such as '30 2 * * MON-FRI'")
	f.StringVar(&s.Zone, "zone", "UTC", "whose clock is meant, such as Europe/Berlin")
	f.StringVar(&input, "input", "", "JSON, @FILE, or - for standard input")
	f.StringVar(&overlap, "overlap", string(flawless.Skip), "when the run before is still open: skip, queue, allow or cancel")
	f.DurationVar(&jitter, "jitter", 0, "put each time off by a random part of this, but not past the next time")
	f.DurationVar(&catchUp, "catch-up", time.Hour, "make up for times that came while no server was up, for this long")
	f.IntVar(&s.CatchUpLimit, "catch-up-limit", 100, "start at most this many runs at once for such times, the newest; the rest are missed")
	f.Var(&labels, "label", "name=value, of its runs; may be repeated")
	f.BoolVar(&replace, "replace", false, "take the place of the schedule of that name")
	f.BoolVar(&s.Paused, "paused", false, "start no runs until the schedule is resumed")
	f.StringVar(&s.Note, "note", "", "with --paused: why")
	t.addTo(a, c, 1)
	_ = c.MarkFlagRequired("cron")
	_ = c.RegisterFlagCompletionFunc("overlap", cobra.FixedCompletions([]string{"skip", "queue", "allow", "cancel"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// moment is a time as people read it, also where there is none.
func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return ago(*t)
}

func (a *app) scheduleListCommand() *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List schedules", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			all, err := cl.Schedules(c.Context())
			if err != nil || a.json {
				return orPrint(a, err, all)
			}
			var rows [][]string
			for _, s := range all {
				detail := s.Problem
				if s.Paused {
					detail = strings.TrimSuffix("paused: "+s.Note, ": ")
				}
				rows = append(rows, []string{s.Name, s.Cron, s.Zone, s.Module + "/" + s.Workflow, moment(s.Next), fmt.Sprint(s.Started), fmt.Sprint(s.Missed), shortened(detail, 80)})
			}
			a.table("NAME\tCRON\tZONE\tWORKFLOW\tNEXT\tSTARTED\tMISSED\tDETAIL", rows)
			return nil
		}}
}

func (a *app) scheduleShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show NAME", Short: "Show a schedule", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			s, err := cl.Schedule(c.Context(), args[0])
			if err != nil || a.json {
				return orPrint(a, err, s)
			}
			a.showSchedule(s)
			return nil
		}}
}

func (a *app) showSchedule(s flawless.Schedule) {
	p := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	p("schedule", "%s", s.Name)
	p("times", "%s, %s", s.Cron, s.Zone)
	p("workflow", "%s/%s", s.Module, s.Workflow)
	p("input", "%s", shortened(string(s.Input), 400))
	if s.Version != "" {
		p("version", "%s", s.Version)
	}
	if s.Place != nil {
		p("place", "%s", placeText(*s.Place))
	}
	if s.DeadlineMS > 0 {
		grace := cmp.Or(time.Duration(s.GraceMS)*time.Millisecond, time.Minute)
		p("deadline", "%v after a run's start, and %v of grace", time.Duration(s.DeadlineMS)*time.Millisecond, grace)
	}
	p("overlap", "%s", s.Overlap)
	if s.JitterMS > 0 {
		p("jitter", "%v", time.Duration(s.JitterMS)*time.Millisecond)
	}
	p("catch-up", "%v, at most %d times at once", time.Duration(s.CatchUpMS)*time.Millisecond, cmp.Or(s.CatchUpLimit, 100))
	if s.Paused {
		p("paused", "%s", s.Note)
	} else {
		p("next", "%s", moment(s.Next))
	}
	p("counts", "%d started, %d skipped, %d missed", s.Started, s.Skipped, s.Missed)
	if s.Why != "" {
		p("missed", "%s", s.Why)
	}
	if s.Last != "" {
		p("last", "%s", s.Last)
	}
	if s.Queued != nil {
		p("queued", "%s", moment(s.Queued))
	}
	for _, id := range s.Open {
		p("open", "%s", id)
	}
	if s.Problem != "" {
		p("problem", "%s", s.Problem)
	}
}

func (a *app) scheduleChangeCommand(use, short string, do func(*client.Client, context.Context, string) (flawless.Schedule, error)) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			s, err := do(cl, c.Context(), args[0])
			if err != nil || a.json {
				return orPrint(a, err, s)
			}
			if s.Paused {
				fmt.Fprintf(a.out, "schedule %s is paused\n", s.Name)
			} else {
				fmt.Fprintf(a.out, "schedule %s starts its next run at %s\n", s.Name, moment(s.Next))
			}
			return nil
		}}
}

func (a *app) schedulePauseCommand() *cobra.Command {
	var note string
	c := a.scheduleChangeCommand("pause NAME", "Keep a schedule from starting runs", func(cl *client.Client, ctx context.Context, name string) (flawless.Schedule, error) {
		return cl.PauseSchedule(ctx, name, note)
	})
	c.Flags().StringVar(&note, "note", "", "why")
	return c
}

func (a *app) scheduleTriggerCommand() *cobra.Command {
	var key string
	c := &cobra.Command{Use: "trigger NAME", Short: "Start a run of a schedule at once", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			r, started, err := cl.TriggerSchedule(c.Context(), args[0], key)
			if err != nil || a.json {
				return orPrint(a, err, map[string]any{"run": r, "started": started})
			}
			fmt.Fprintln(a.out, r.ID)
			if !started {
				fmt.Fprintf(a.errs, "run %s was started before, it is %s\n", r.ID, r.Status)
			}
			return nil
		}}
	c.Flags().StringVar(&key, "key", "", "the same key starts one run, however often the command is repeated")
	return c
}

func (a *app) scheduleBackfillCommand() *cobra.Command {
	var from, to timeFlag
	c := &cobra.Command{Use: "backfill NAME", Short: "Start the runs of times that are over and have none", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeSchedule,
		Long:    "Starts a run for each time from one moment (inclusive) until another (exclusive) that has none yet, all side by side.",
		Example: "  flawless schedule backfill nightly --from 2026-03-01 --to 2026-03-08",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			b, err := cl.BackfillSchedule(c.Context(), args[0], time.Time(from), time.Time(to))
			if err != nil || a.json {
				return orPrint(a, err, b)
			}
			for _, id := range b.Started {
				fmt.Fprintln(a.out, id)
			}
			fmt.Fprintf(a.errs, "%d runs were started, %d were there before\n", len(b.Started), len(b.Known))
			for _, id := range b.Taken {
				fmt.Fprintf(a.errs, "%s was not started: the schedule did not start the run that has this id\n", id)
			}
			return nil
		}}
	c.Flags().Var(&from, "from", "the first moment, such as 2026-03-01 or 2026-03-01T06:00:00Z")
	c.Flags().Var(&to, "to", "the moment after the last one")
	_ = c.MarkFlagRequired("from")
	_ = c.MarkFlagRequired("to")
	return c
}

func (a *app) completeSchedule(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
	ctx, cancel := a.brief(c)
	defer cancel()
	if cl, err := a.connect(); err == nil && len(args) == 0 {
		all, _ := cl.Schedules(ctx)
		for _, s := range all {
			out = append(out, s.Name+"\t"+s.Cron+" "+s.Zone)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
