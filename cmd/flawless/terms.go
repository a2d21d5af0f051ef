package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
)

// startFlags holds the flags that workflow start and schedule add share: how runs are started.
type startFlags struct {
	version         string
	place           flawless.QueueOptions
	deadline, grace time.Duration
}

// addTo adds the flags to a command. module is the index of its argument with the name of the module.
func (t *startFlags) addTo(a *app, c *cobra.Command, module int) {
	f := c.Flags()
	f.StringVar(&t.version, "version", "", "version of the module, such as 3 or 1.2.0 (default: the newest)")
	f.StringVar(&t.place.Key, "concurrency-key", "", "key shared by runs of which at most --concurrency are in progress at once")
	f.Var(flagvalue.NewInt(&t.place.Limit, 0, 1, flawless.MaxConcurrency), "concurrency", "maximum number of runs of the key in progress at once (default 1); needs --concurrency-key")
	f.Var(flagvalue.NewInt(&t.place.Priority, 0, -flawless.MaxPriority, flawless.MaxPriority), "priority", "priority in the queue; the highest goes first, then the oldest")
	f.Var(flagvalue.NewDuration(&t.deadline, 0, time.Millisecond, flawless.MaxDeadline), "deadline", "cancel a run this long after its start, such as 2h or 7d")
	f.Var(flagvalue.NewDuration(&t.grace, 0, time.Millisecond, flawless.MaxDeadline), "grace", "terminate the run this long after the deadline (default 1m); needs --deadline")
	_ = c.RegisterFlagCompletionFunc("version", func(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
		ctx, cancel := a.CompletionContext(c)
		defer cancel()
		if cl, err := a.Connect(); err == nil && len(args) > module {
			versions, _ := cl.Module(ctx, args[module])
			for _, m := range versions {
				out = append(out, strconv.Itoa(m.Version)+"\t"+m.Manifest.Version)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
}

// check rejects flags that would be ignored.
func (t *startFlags) check() error {
	if t.grace > 0 && t.deadline == 0 {
		return fmt.Errorf("--grace needs --deadline: %w", flawless.Invalid)
	}
	return nil
}

// queueOptions returns the concurrency key and priority, or nil if none is given.
func (t *startFlags) queueOptions() *flawless.QueueOptions {
	if t.place == (flawless.QueueOptions{}) {
		return nil
	}
	return &t.place
}
