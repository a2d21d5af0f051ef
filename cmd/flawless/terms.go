package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

// terms are the flags that say how a run is started, whoever starts it: a person or a schedule.
type terms struct {
	version         string
	place           flawless.Place
	deadline, grace time.Duration
}

// addTo defines the flags. module is the place of the module's name among the arguments of the command.
func (t *terms) addTo(a *app, c *cobra.Command, module int) {
	f := c.Flags()
	f.StringVar(&t.version, "version", "", "of the module, such as 3 or 1.2.0 (default the newest)")
	f.StringVar(&t.place.Key, "concurrency-key", "", "shared by the runs of which only --concurrency may be under way at once")
	f.IntVar(&t.place.Limit, "concurrency", 0, "with --concurrency-key: how many (default 1)")
	f.IntVar(&t.place.Priority, "priority", 0, "of the runs that wait for their place the highest begins first, then the oldest")
	f.DurationVar(&t.deadline, "deadline", 0, "ask a run to give up this long after its start, such as 2h")
	f.DurationVar(&t.grace, "grace", 0, "with --deadline: terminate it this much later (default 1m)")
	_ = c.RegisterFlagCompletionFunc("version", func(c *cobra.Command, args []string, _ string) (out []string, _ cobra.ShellCompDirective) {
		ctx, cancel := a.brief(c)
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

// check refuses times that would be dropped silently.
func (t *terms) check(c *cobra.Command) error {
	for name, d := range map[string]time.Duration{"deadline": t.deadline, "grace": t.grace} {
		if c.Flags().Changed(name) && d < time.Millisecond {
			return fmt.Errorf("--%s is %v, give 1ms or more: %w", name, d, flawless.Invalid)
		}
	}
	if t.grace > 0 && t.deadline == 0 {
		return fmt.Errorf("--grace begins at the deadline, and there is none; give --deadline too: %w", flawless.Invalid)
	}
	return nil
}

// placed is the place that was asked for, nil where none was.
func (t *terms) placed() *flawless.Place {
	if t.place == (flawless.Place{}) {
		return nil
	}
	return &t.place
}

// placeText is a place for people.
func placeText(p flawless.Place) string {
	if p.Key == "" {
		return fmt.Sprintf("priority %d", p.Priority)
	}
	return fmt.Sprintf("key %q, at most %d at once, priority %d", p.Key, p.Limit, p.Priority)
}
