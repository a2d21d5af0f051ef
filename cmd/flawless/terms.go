package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
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
	f.IntVar(&t.place.Limit, "concurrency", 0, "maximum number of runs of the key in progress at once (default 1); needs --concurrency-key")
	f.IntVar(&t.place.Priority, "priority", 0, "priority in the queue; the highest goes first, then the oldest")
	f.Var(flagvalue.NewDuration(&t.deadline, 0), "deadline", "cancel a run this long after its start, such as 2h or 7d")
	f.Var(flagvalue.NewDuration(&t.grace, 0), "grace", "terminate the run this long after the deadline (default 1m); needs --deadline")
	_ = c.RegisterFlagCompletionFunc("version", func(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
		ctx, cancel := a.completionContext(c)
		defer cancel()
		if cl, err := a.connect(); err == nil && len(args) > module {
			versions, _ := cl.Module(ctx, args[module])
			for _, m := range versions {
				out = append(out, strconv.Itoa(m.Version)+"\t"+m.Manifest.Version)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
}

// check rejects durations that would otherwise be ignored.
func (t *startFlags) check(c *cobra.Command) error {
	for name, d := range map[string]time.Duration{"deadline": t.deadline, "grace": t.grace} {
		if c.Flags().Changed(name) && d < time.Millisecond {
			return fmt.Errorf("--%s is %s; use 1ms or more: %w", name, render.Duration(d), flawless.Invalid)
		}
	}
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
