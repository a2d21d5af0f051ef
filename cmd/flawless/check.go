package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
)

func (a *app) checkCommand() *cobra.Command {
	var module string
	var source sources
	c := &cobra.Command{Use: "check --module FILE.wasm BUNDLE|DIR...", Short: "Check a module against exported runs, without a server", Args: cobra.MinimumNArgs(1),
		Long: `Replays exported runs with a module, and fails if the module makes a call that
differs from a log. This is the upgrade check (flawless module upgrade) for a
test suite. Directories are searched for *.bundle files.

For runs that have ended, the end is compared as well. A run that failed and
no longer fails is not counted as different.`,
		Example: "  flawless check --module shop.wasm logs/",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if module == "" {
				return &usageError{c.CommandPath(), fmt.Errorf("give the module to check with --module")}
			}
			bin, err := readModule(module)
			if err != nil {
				return err
			}
			files, err := bundlesIn(args)
			if err != nil {
				return err
			}
			rt, err := localRuntime(c.Context())
			if err != nil {
				return err
			}
			defer closing(&err, func() error { return rt.Close(context.WithoutCancel(c.Context())) })
			m, err := rt.Load(c.Context(), bin, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", module, err)
			}
			defer closing(&err, func() error { return m.Close(context.WithoutCancel(c.Context())) })
			return a.check(c.Context(), m, files, source)
		}}
	f := c.Flags()
	f.StringVar(&module, "module", "", "module file to check")
	source.flags(c)
	return c
}

// check replays the runs of files with a module and shows what came of it.
func (a *app) check(ctx context.Context, m *guest.Module, files []string, source sources) error {
	began := time.Now()
	u := flawless.ModuleUpgrade{Digest: m.Digest(), DryRun: true}
	for _, file := range files {
		b, err := readBundle(file)
		if err != nil {
			return err
		}
		u.Module = b.Manifest.Module.Name
		r, err := replayBundle(ctx, m, b)
		v := flawless.RunUpgrade{Run: b.Manifest.Run.ID, Workflow: b.Manifest.Run.Workflow, From: b.Manifest.Module.Digest,
			FromVersion: b.Manifest.Module.Version, Turns: r.Turns, Calls: r.Calls, Divergence: r.Divergence, Verdict: flawless.GoesOn}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			v.Verdict, v.Reason = flawless.Untold, err.Error()
			u.Untold++
		case r.Divergence != nil && fails(r.Divergence):
			v.Reason, v.Divergence = "it failed in turn "+fmt.Sprint(r.Divergence.Turn)+"; the new code behaves differently there", nil
			u.GoOn++
		case r.Divergence != nil:
			v.Verdict = flawless.Diverges
			u.Diverge++
		default:
			u.GoOn++
		}
		u.Runs = append(u.Runs, v)
	}
	u.Took = time.Since(began)
	return a.printUpgrade(u, source)
}

// fails tells whether a replay differs only in that the run had failed: everything before is the same,
// and to do otherwise there is what one wants of new code.
func fails(d *flawless.Divergence) bool {
	return d.Logged == nil && d.LoggedEnd != nil && d.LoggedEnd.Failure != nil
}

// bundlesIn returns the files, and those that end in .bundle of the folders.
func bundlesIn(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("looking for exported runs: %v: %w", err, flawless.NotFound)
		}
		if !info.IsDir() {
			out = append(out, name)
			continue
		}
		if err := filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) == ".bundle" {
				out = append(out, path)
			}
			return err
		}); err != nil {
			return nil, fmt.Errorf("looking for exported runs in %s: %w", name, err)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no exported runs (*.bundle) found in %v; export one with: flawless workflow export: %w", names, flawless.NotFound)
	}
	return out, nil
}
