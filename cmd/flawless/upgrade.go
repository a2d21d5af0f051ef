package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/endpoint"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) upgradeCommand() *cobra.Command {
	var o client.Upgrade
	var module string
	var source render.Sources
	c := &cobra.Command{Use: "upgrade NAME", Short: "Move open runs to the newest version of their module", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteModule,
		Long: `Upgrade check: replays every open run of a module with its newest version. A
run that makes every call in its log again moves to the new version. A run
that makes a different call stays on its version, and the difference is shown.
Log lines, computation, call sites, the version of the SDK, how a call is
attempted (timeout, retries, limits) and the order of calls within one turn
are not compared.

All runs are checked before the first one moves. Each move is atomic. If the
command is interrupted, run it again to continue. With --dry-run nothing
moves; with --module you can check a file that is not added yet.`,
		Example: "  flawless module upgrade shop --module shop.wasm --dry-run\n  flawless module add shop shop.wasm && flawless module upgrade shop --all-or-nothing",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.Module, err = local.ReadModule(module); err != nil {
				return err
			}
			if o.Module != nil && !o.DryRun {
				return fmt.Errorf("--module needs --dry-run; to move runs, add the module first: flawless module add %s %s: %w", args[0], module, flawless.Invalid)
			}
			cl, err := a.Connect()
			if err != nil {
				return err
			}
			b := render.NewBar(a.Errs)
			o.Who = endpoint.Who()
			o.Progress = func(stage string, done, all int) { b.Show(stage, float64(done)/float64(max(all, 1))) }
			u, err := cl.Upgrade(c.Context(), args[0], o)
			b.End()
			if err != nil {
				return err
			}
			return a.printUpgrade(u, source)
		}}
	f := c.Flags()
	f.StringVar(&module, "module", "", "check this module file instead of the newest version; needs --dry-run")
	f.BoolVar(&o.DryRun, "dry-run", false, "only report, move nothing")
	f.StringArrayVar(&o.Runs, "run", nil, "only this run (repeatable)")
	f.Var(flagvalue.NewInt(&o.From, 0, 1, flagvalue.MaxInt), "from", "only runs of this version")
	f.Var(flagvalue.NewInt(&o.Parallel, 0, 1, 256), "parallel", "number of runs to check in parallel (default: the CPU cores of the server)")
	f.Var(flagvalue.NewInt(&o.Limit, flawless.DefaultUpgradeRuns, 1, flawless.MaxUpgradeRuns), "limit", "maximum number of runs in the report of --json, those that cannot move first; left_out counts the others")
	f.BoolVar(&o.AllOrNothing, "all-or-nothing", false, "move no run unless all can be moved")
	source.AddTo(c.Flags())
	return c
}

// printUpgrade prints the report of an upgrade check, and returns an error if a run cannot move.
func (a *app) printUpgrade(u flawless.ModuleUpgrade, source render.Sources) error {
	if a.JSON {
		if err := a.PrintJSON(u); err != nil {
			return err
		}
	} else {
		render.Upgrade(a.Out, u, source)
	}
	stay := u.Diverge + u.Undecided
	switch {
	case stay > 0 && u.DryRun:
		return fmt.Errorf("%d of %d runs cannot move to the new code: %w", stay, u.Looked(), flawless.Diverged)
	case stay > 0:
		return fmt.Errorf("%d of %d runs stay on their current version: %w", u.Looked()-u.Moved, u.Looked(), flawless.Diverged)
	}
	return nil
}

func (a *app) removeModuleCommand() *cobra.Command {
	var version int
	c := &cobra.Command{Use: "rm NAME", Short: "Remove a module that no open run uses", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteModule,
		Long: `Removes a module, or with --version a single version of it. This is refused
while an open run uses it. Runs that have ended keep their logs, but cannot be
replayed without their module: export the runs you want to keep.`,
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			removed, err := cl.RemoveModule(c.Context(), args[0], version)
			if err != nil || a.JSON {
				return a.OrPrint(err, removed)
			}
			for _, m := range removed {
				fmt.Fprintf(a.Out, "removed module %s, version %d (%.12s)\n", m.Name, m.Version, m.Digest)
			}
			return nil
		})}
	c.Flags().Var(flagvalue.NewInt(&version, 0, 1, flagvalue.MaxInt), "version", "remove only this version")
	return c
}
