package flagset

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
)

// Runs holds the flags that select runs.
type Runs struct {
	Filter        flawless.Filter // set by Read
	status        []string
	since         time.Duration
	after, before flagvalue.Time
	labels        flagvalue.Labels
}

// AddTo adds the flags to a command.
func (s *Runs) AddTo(c *cobra.Command) {
	c.Flags().StringSliceVar(&s.status, "status", nil, "runs with this status: pending, running, waiting, paused, unresolved, completed, failed, cancelled or terminated (repeatable, or separated by commas)")
	s.addMost(c, "runs created")
}

// addMost adds all flags but --status. happened says what --since, --after and --before are about.
func (s *Runs) addMost(c *cobra.Command, happened string) {
	f := c.Flags()
	f.StringVar(&s.Filter.Module, "module", "", "runs of this module")
	f.StringVar(&s.Filter.Workflow, "workflow", "", "runs of this workflow")
	f.Var(flagvalue.NewDuration(&s.since, 0, time.Millisecond, 100*365*24*time.Hour), "since", happened+" within this time, such as 24h or 7d")
	f.Var(&s.after, "after", happened+" at or after this time, such as 2026-03-01")
	f.Var(&s.before, "before", happened+" before this time")
	f.Var(&s.labels, "label", "runs with this label, as name=value (repeatable; all must match)")
	f.StringVar(&s.Filter.Parent, "parent", "", "runs started by this run")
	f.BoolVar(&s.Filter.Retrying, "retrying", false, "runs with a failed call that is being retried")
	f.StringVar(&s.Filter.Prefix, "prefix", "", "runs whose id begins with this")
	f.StringVar(&s.Filter.Text, "text", "", "runs with this text in their failure or problem, or in the reason or request of a call that is unresolved or retried")
	c.MarkFlagsMutuallyExclusive("since", "after")
}

// Read fills in the filter from the flags, and reports whether any is given. It returns [flawless.Invalid] for a value that
// no run has.
func (s *Runs) Read() (bool, error) {
	f := &s.Filter
	for _, st := range s.status {
		if !slices.Contains(flawless.Statuses, flawless.Status(st)) {
			return false, fmt.Errorf("--status is %q; use %s: %w", st, Alternatives(flawless.Statuses), flawless.Invalid)
		}
		f.Status = append(f.Status, flawless.Status(st))
	}
	if s.since > 0 {
		f.Since = time.Now().Add(-s.since)
	}
	if !time.Time(s.after).IsZero() {
		f.Since = time.Time(s.after)
	}
	f.Until, f.Labels = time.Time(s.before), s.labels
	return len(f.Status) > 0 || f.Module != "" || f.Workflow != "" || !f.Since.IsZero() || !f.Until.IsZero() || len(f.Labels) > 0 || f.Parent != "" || f.Retrying || f.Prefix != "" || f.Text != "", nil
}

// Alternatives lists values for people: a, b or c.
func Alternatives[T ~string](all []T) string {
	var b strings.Builder
	for i, v := range all {
		switch {
		case i == len(all)-1 && i > 0:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}
