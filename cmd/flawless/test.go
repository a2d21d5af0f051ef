package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/project"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/rehearsal"
)

// testOptions holds the flags of flawless test.
type testOptions struct {
	input, answers, upstream, start string
	everywhere                      bool
	limit                           time.Duration
	module                          string
	secrets                         []string
}

func (a *app) testCommand() *cobra.Command {
	var o testOptions
	c := &cobra.Command{Use: "test FILE.wasm|DIR WORKFLOW", Short: "Test a workflow without a server, a network or waiting", Args: cobra.ExactArgs(2),
		Long: `Runs a workflow to its end in this process: a workflow of a module file, or of
the project in a directory. All requests are answered from a file (--answers)
or by your own server (--upstream), no matter which host they are for. Time is
virtual, so a year of sleeping passes at once.

With --crash-everywhere the engine is killed before and after every write and
started again. The command fails if the requests or the output differ from a
run without crashes.

The file of --answers is a JSON list. For each request the first entry that
matches is used. In a url, * matches anything but a slash:
  [{"method": "POST", "url": "https://pay.example/charges", "status": 201,
    "body": {"id": "ch_1"}}]`,
		Example: "  flawless test . checkout --input @order.json --answers answers.json --crash-everywhere",
		RunE: func(c *cobra.Command, args []string) error {
			return a.test(c.Context(), args[0], args[1], o)
		}}
	f := c.Flags()
	f.StringVar(&o.input, "input", "", "JSON, @FILE, or - for standard input")
	f.StringVar(&o.answers, "answers", "", "JSON file with answers to requests")
	f.StringVar(&o.upstream, "upstream", "", "server that answers all requests, such as http://127.0.0.1:8080; it gets the original host in Host and X-Forwarded-Proto")
	f.StringVar(&o.start, "start", "2026-01-01T00:00:00Z", "time at which the run begins")
	f.BoolVar(&o.everywhere, "crash-everywhere", false, "kill the engine before and after every write")
	f.StringVar(&o.module, "module", "", "name of the module, as its code uses it (default: the declared name, or the file name)")
	f.StringArrayVar(&o.secrets, "secret", nil, "NAME=VALUE or NAME=@FILE: a secret, which may be sent to any host in the test and is never shown (repeatable)")
	f.Var(flagvalue.NewDuration(&o.limit, time.Minute, time.Millisecond, flawless.MaxDeadline), "limit", "time limit for one execution of the workflow")
	return c
}

func (a *app) test(ctx context.Context, module, workflow string, o testOptions) (err error) {
	r := rehearsal.Options{Workflow: workflow, Limit: o.limit, Module: o.module}
	if r.Secrets, err = local.Secrets(o.secrets); err != nil {
		return err
	}
	if r.Input, err = a.readInput(o.input); err != nil {
		return err
	}
	if r.Start, err = time.Parse(time.RFC3339, o.start); err != nil {
		return fmt.Errorf("--start %q is not a time; use a value such as 2026-01-01T00:00:00Z: %w", o.start, flawless.Invalid)
	}
	world, err := local.NewOutside(o.answers, o.upstream, effect.Redactor(r.Secrets))
	if err != nil {
		return err
	}
	r.Outside = world
	if info, e := os.Stat(module); e == nil && info.IsDir() {
		if module, err = project.Build(ctx, module, "", true, a.warn); err != nil {
			return err
		}
	}
	if r.Binary, err = local.ReadModule(module); err != nil {
		return err
	}
	if r.Guest, err = local.NewRuntime(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Guest.Close(context.WithoutCancel(ctx))) }()
	r.File = strings.TrimSuffix(filepath.Base(module), ".wasm")
	if !o.everywhere {
		result, err := rehearsal.Run(ctx, r)
		if err != nil {
			return err
		}
		return a.printRehearsal(local.Masked(result), world)
	}
	b := render.NewBar(a.Errs)
	report, err := rehearsal.CrashEverywhere(ctx, r, func(done, all int) { b.Show("crashing", float64(done)/float64(max(all, 1))) })
	b.End()
	if err != nil {
		return err
	}
	return a.printCrashes(local.Masked(report), world)
}

func (a *app) printRehearsal(r rehearsal.Result, w *local.Outside) error {
	if a.JSON {
		if err := a.PrintJSON(r); err != nil {
			return err
		}
	} else {
		p := render.NewLog(a.Errs)
		for _, rec := range r.Log {
			p.Record(rec)
		}
		fmt.Fprintf(a.Errs, "%s; %v of virtual time\n", render.Count(len(r.Requests), "request"), r.Virtual)
		if len(r.Run.Output) > 0 {
			fmt.Fprintln(a.Out, string(r.Run.Output))
		}
	}
	if local.LacksSecret(r.Log) {
		fmt.Fprintln(a.Errs, "note: a test has its own secrets; give them with --secret NAME=VALUE")
	}
	if err := w.Missing(); err != nil {
		return err
	}
	return ended(r.Run)
}

func (a *app) printCrashes(r rehearsal.Report, w *local.Outside) error {
	if a.JSON {
		if err := a.PrintJSON(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Faults {
			fmt.Fprintln(a.Out, f)
		}
		fmt.Fprintf(a.Out, "%s: killed in %d of %d trials around its %d writes; %d decisions needed; %d differences\n",
			r.Result.Run.Workflow, r.Crashes, r.Trials, r.Writes, r.Asked, len(r.Faults))
	}
	switch err := w.Missing(); {
	case err != nil:
		return err
	case len(r.Faults) > 0:
		return fmt.Errorf("%d of %d trials differ from the run without crashes: %w", len(r.Faults), r.Trials, flawless.Diverged)
	}
	return nil
}
