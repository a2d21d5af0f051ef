package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// settingsFlags are the flags of a module's settings.
type settingsFlags struct {
	retention   retentionFlag
	concurrency int
	keep        int
	retryFor    retryForFlag
}

func (s *settingsFlags) add(c *cobra.Command) {
	c.Flags().Var(&s.retention, "retention", "how long to keep ended runs, such as 90d or 12h; forever, or default (30d)")
	c.Flags().IntVar(&s.concurrency, "concurrency", 0, "maximum number of runs in progress at once; 0 is unlimited")
	c.Flags().Var(&s.retryFor, "retry-for", "how long failed calls are retried, such as 24h or 7d; 0 disables retries; default uses the setting of the server")
	c.Flags().IntVar(&s.keep, "keep-turns", 0, "minimum number of turns to keep in the log of a run; 0 keeps all")
}

// check returns why the flags cannot be taken, before anything is done.
func (s *settingsFlags) check() error {
	return (&flawless.Settings{RetentionMS: int64(s.retention), Concurrency: s.concurrency, KeepTurns: s.keep}).Check()
}

const keepTurnsHelp = `--keep-turns is for runs that never end. At least the last turns of their logs
are kept, and older ones may be removed. Such a run continues from its last
image alone, and can no longer be replayed from its start. 0 keeps all turns
from now on.`

// change returns what the command line changes, and whether it does.
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
	c := &cobra.Command{Use: "set NAME", Short: "Show or change the settings of a module", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeModule,
		Long: `Changes the settings of a module, which apply to all its versions, and shows
them. Without flags it only shows them.

Runs above --concurrency stay pending until another run of the module has
ended. Runs with a higher priority go first (workflow start --priority).

` +
			keepTurnsHelp,
		Example: "  flawless module set shop --retention 90d --concurrency 20",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			s, err := a.changeSettings(c, cl, args[0], &flags)
			if err != nil || a.json {
				return orPrint(a, err, s)
			}
			fmt.Fprintf(a.out, "module %s: %s\n", s.Module, settingsText(s))
			return nil
		}}
	flags.add(c)
	return c
}

// changeSettings changes what the flags say, if anything, and returns what holds.
func (a *app) changeSettings(c *cobra.Command, cl *client.Client, module string, flags *settingsFlags) (flawless.Settings, error) {
	change, any := flags.change(c)
	if !any {
		return cl.Settings(c.Context(), module)
	}
	return cl.ChangeSettings(c.Context(), module, change)
}

// settings returns those of a module, "" where they cannot be asked for.
func (a *app) settings(ctx context.Context, module string) string {
	cl, err := a.connect()
	if err != nil {
		return ""
	}
	s, err := cl.Settings(ctx, module)
	if err != nil {
		return ""
	}
	return settingsText(s)
}

func settingsText(s flawless.Settings) string {
	text := "ended runs are kept forever"
	if d, ends := s.Retention(); ends {
		text = "ended runs are kept for " + days(d)
	}
	if s.Concurrency > 0 {
		text += fmt.Sprintf(", at most %d runs in progress at once", s.Concurrency)
	}
	if s.RetryForMS != nil {
		text += ", retries of failed calls: " + retryText(s.RetryForMS)
	}
	if s.KeepTurns > 0 {
		text += fmt.Sprintf(", at least the last %d turns of each log are kept", s.KeepTurns)
	}
	return text
}

func days(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	return d.String()
}

// retentionFlag is a time in milliseconds as people write it: 90d, 12h, forever, default. It is a flag.
type retentionFlag int64

func (r *retentionFlag) String() string { return "" }

// Set implements pflag.Value.
func (r *retentionFlag) Set(text string) error {
	switch text {
	case "forever":
		*r = -1
		return nil
	case "default":
		*r = 0
		return nil
	}
	if n, ok := strings.CutSuffix(text, "d"); ok {
		d, err := strconv.Atoi(n)
		if err == nil && d > 0 && d <= 36500 {
			*r = retentionFlag(time.Duration(d) * 24 * time.Hour / time.Millisecond)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return fmt.Errorf("%q is not a retention time; use a value such as 90d, 12h, forever or default", text)
	}
	*r = retentionFlag(d.Milliseconds())
	return nil
}

// Type implements pflag.Value.
func (r *retentionFlag) Type() string { return "time" }
