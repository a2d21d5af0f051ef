package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagset"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

const keepTurnsHelp = `--keep-turns is for runs that never end. At least the last turns of their logs
are kept, and older ones may be removed. Such a run continues from its last
image alone, and can no longer be replayed from its start. 0 keeps all turns
from now on.`

func (a *app) moduleSetCommand() *cobra.Command {
	var flags flagset.Settings
	c := &cobra.Command{Use: "set NAME", Short: "Show or change the settings of a module", Args: cobra.ExactArgs(1), ValidArgsFunction: a.CompleteModule,
		Long: `Changes the settings of a module, which apply to all its versions, and shows
them. Without flags it only shows them.

Runs above --concurrency stay pending until another run of the module has
ended. Runs with a higher priority go first (workflow start --priority).

` +
			keepTurnsHelp,
		Example: "  flawless module set shop --retention 90d --concurrency 20",
		RunE: a.OnServer(func(c *cobra.Command, cl *client.Client, args []string) error {
			s, err := a.changeSettings(c, cl, args[0], &flags)
			if err != nil || a.JSON {
				return a.OrPrint(err, s)
			}
			fmt.Fprintf(a.Out, "module %s: %s\n", s.Module, render.Settings(s))
			return nil
		})}
	flags.AddTo(c)
	return c
}

// changeSettings applies the flags, if any are given, and returns the settings.
func (a *app) changeSettings(c *cobra.Command, cl *client.Client, module string, flags *flagset.Settings) (flawless.Settings, error) {
	change, any := flags.Change(c)
	if !any {
		return cl.Settings(c.Context(), module)
	}
	return cl.ChangeSettings(c.Context(), module, change)
}

// settings formats the settings of a module. It returns "" if the server does not say.
func (a *app) settings(ctx context.Context, module string) string {
	cl, err := a.Connect()
	if err != nil {
		return ""
	}
	s, err := cl.Settings(ctx, module)
	if err != nil {
		return ""
	}
	return render.Settings(s)
}
