package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/local"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) checkCommand() *cobra.Command {
	var module string
	var source render.Sources
	c := &cobra.Command{Use: "check --module FILE.wasm BUNDLE|DIR...", Short: "Check a module against exported runs, without a server", Args: cobra.MinimumNArgs(1),
		Long: `Replays exported runs with a module, and fails if the module makes a call that
differs from a log. This is the upgrade check (flawless module upgrade) for a
test suite. Directories are searched for *.bundle files.

For runs that have ended, the end is compared as well. A run that failed and
no longer fails is not counted as different.`,
		Example: "  flawless check --module shop.wasm logs/",
		RunE: func(c *cobra.Command, args []string) error {
			if module == "" {
				return &exit.UsageError{Command: c.CommandPath(), Err: fmt.Errorf("give the module to check with --module")}
			}
			bin, err := local.ReadModule(module)
			if err != nil {
				return err
			}
			files, err := local.Bundles(args)
			if err != nil {
				return err
			}
			u, err := local.Check(c.Context(), module, bin, files)
			if err != nil {
				return err
			}
			return a.printUpgrade(u, source)
		}}
	f := c.Flags()
	f.StringVar(&module, "module", "", "module file to check")
	source.AddTo(c.Flags())
	return c
}
