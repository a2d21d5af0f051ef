// Package flagset has flags that several commands share, and reads what they mean together: which runs, which calls, which
// settings. It prints nothing and asks no server.
package flagset

import (
	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
)

// Settings holds the flags for the settings of a module.
type Settings struct {
	retention   flagvalue.Retention
	concurrency int
	keep        int
	retryFor    flagvalue.RetryFor
}

// AddTo adds the flags to a command.
func (s *Settings) AddTo(c *cobra.Command) {
	c.Flags().Var(&s.retention, "retention", "how long to keep ended runs, such as 90d or 12h; forever, or default (30d)")
	c.Flags().Var(flagvalue.NewInt(&s.concurrency, 0, 0, flawless.MaxConcurrency), "concurrency", "maximum number of runs in progress at once; 0 is unlimited")
	c.Flags().Var(&s.retryFor, "retry-for", "how long failed calls are retried, such as 24h or 7d; 0 or none disables retries; default uses the setting of the server")
	c.Flags().Var(flagvalue.NewInt(&s.keep, 0, 0, flawless.MaxKeepTurns), "keep-turns", "minimum number of turns to keep in the log of a run; 0 keeps all")
}

// Change returns the settings that flags change, and whether there are any.
func (s *Settings) Change(c *cobra.Command) (out client.SettingsChange, any bool) {
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
