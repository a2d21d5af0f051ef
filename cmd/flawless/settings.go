package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

// settingsFlags holds the flags for the settings of a module.
type settingsFlags struct {
	retention   flagvalue.Retention
	concurrency int
	keep        int
	retryFor    flagvalue.RetryFor
}

func (s *settingsFlags) add(c *cobra.Command) {
	c.Flags().Var(&s.retention, "retention", "how long to keep ended runs, such as 90d or 12h; forever, or default (30d)")
	c.Flags().Var(flagvalue.NewInt(&s.concurrency, 0, 0, flawless.MaxConcurrency), "concurrency", "maximum number of runs in progress at once; 0 is unlimited")
	c.Flags().Var(&s.retryFor, "retry-for", "how long failed calls are retried, such as 24h or 7d; 0 or none disables retries; default uses the setting of the server")
	c.Flags().Var(flagvalue.NewInt(&s.keep, 0, 0, flawless.MaxKeepTurns), "keep-turns", "minimum number of turns to keep in the log of a run; 0 keeps all")
}

const keepTurnsHelp = `--keep-turns is for runs that never end. At least the last turns of their logs
are kept, and older ones may be removed. Such a run continues from its last
image alone, and can no longer be replayed from its start. 0 keeps all turns
from now on.`

// change returns the settings that flags change, and whether there are any.
func (s *settingsFlags) change(c *cobra.Command) (out client.SettingsChange, any bool) {
	if c.Flags().Changed("retention") {
		out.RetentionMS, any = (*int64)(&s.retention), true
	}
	if c.Flags().Changed("concurrency") {
		out.Concurrency, any = &s.concurrency, true
	}
	if c.Flags().Changed("keep-turns") {
		out.KeepTurns, any = &s.keep, true
	}
	if c.Flags().Changed("retry-for") {
		out.RetryForMS, any = (*int64)(&s.retryFor), true
	}
	return out, any
}

func (a *app) moduleSetCommand() *cobra.Command {
	var flags settingsFlags
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
	flags.add(c)
	return c
}

// changeSettings applies the flags, if any are given, and returns the settings.
func (a *app) changeSettings(c *cobra.Command, cl *client.Client, module string, flags *settingsFlags) (flawless.Settings, error) {
	change, any := flags.change(c)
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
