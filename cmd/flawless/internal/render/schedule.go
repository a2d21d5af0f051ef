package render

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/flawless-engine/flawless"
)

// Schedule prints a schedule.
func Schedule(w io.Writer, s flawless.Schedule) {
	p := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	p("schedule", "%s", s.Name)
	p("times", "%s, %s", s.Cron, s.Zone)
	p("workflow", "%s/%s", s.Module, s.Workflow)
	p("input", "%s", Shorten(string(s.Input), 400))
	if s.Version != "" {
		p("version", "%s", s.Version)
	}
	if s.Queue != nil {
		p("queue", "%s", queueText(*s.Queue))
	}
	if s.DeadlineMS > 0 {
		grace := cmp.Or(time.Duration(s.GraceMS)*time.Millisecond, time.Minute)
		p("deadline", "%s after the start of a run, plus a grace period of %s", Duration(time.Duration(s.DeadlineMS)*time.Millisecond), Duration(grace))
	}
	p("overlap", "%s", s.Overlap)
	if s.JitterMS > 0 {
		p("jitter", "%s", Duration(time.Duration(s.JitterMS)*time.Millisecond))
	}
	p("catch-up", "%s, at most %d runs", Duration(time.Duration(s.CatchUpMS)*time.Millisecond), cmp.Or(s.CatchUpLimit, 100))
	if s.Paused {
		p("paused", "%s", cmp.Or(s.Note, "yes"))
	} else {
		p("next", "%s", OptionalTime(s.Next))
	}
	p("counts", "%d started, %d skipped, %d missed", s.Started, s.Skipped, s.Missed)
	if s.Why != "" {
		p("missed", "%s", s.Why)
	}
	if s.Last != "" {
		p("last", "%s", s.Last)
	}
	if s.Queued != nil {
		p("queued", "%s", OptionalTime(s.Queued))
	}
	for _, id := range s.Open {
		p("open", "%s", id)
	}
	if s.Problem != "" {
		p("problem", "%s", s.Problem)
	}
}
