package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// Log prints the log of a run, one line for each thing that happened.
type Log struct {
	w     io.Writer
	calls map[int]string
	day   string

	stacks map[int][]flawless.StackFrame // by call; empty unless they were requested
}

// NewLog returns a Log that prints to w.
func NewLog(w io.Writer) *Log {
	return &Log{w, map[int]string{}, "", map[int][]flawless.StackFrame{}}
}

// SetStack sets the call stack that is printed with a call.
func (p *Log) SetStack(call int, frames []flawless.StackFrame) { p.stacks[call] = frames }

// Stacks returns the call stacks, by number of the call.
func (p *Log) Stacks() map[int][]flawless.StackFrame { return p.stacks }

// Record prints a record.
func (p *Log) Record(rec flawless.Record) {
	for _, e := range rec.Entries {
		p.entry(e)
	}
	if c := rec.Cut; c != nil {
		fmt.Fprintf(p.w, "...           records up to turn %d were removed (--keep-turns of the module)\n", c.Turns)
	}
}

func (p *Log) entry(e flawless.Entry) {
	switch {
	case e.Start != nil:
		p.line(e.At, "start  %s/%s (%.12s) with %s", e.Start.Module, e.Start.Workflow, e.Start.Digest, Shorten(string(e.Start.Input), 200))
		if o := e.Start.Origin; o != nil && o.Turn > 0 {
			p.line(e.At, "       forked from run %s at turn %d", o.Of, o.Turn)
		} else if o != nil {
			p.line(e.At, "       restart of run %s", o.Of)
		}
	case e.Turn != nil:
		p.turn(e)
	case e.Arrival != nil:
		text, note := answer(e.Arrival), noted(e.Arrival.Note)
		if strings.HasSuffix(text, e.Arrival.Note) { // do not repeat it
			note = ""
		}
		p.line(e.At, "       call %d answered: %s%s%s", e.Arrival.Call, text, stages(e.Arrival.Stages), note)
	case e.Attempt != nil && e.Attempt.Begun:
		// It is not sent if the check right before it refuses that; the next line about the call says so.
		p.line(e.At, "       call %d, attempt %d is due%s", e.Attempt.Call, e.Attempt.N, noted(e.Attempt.Result))
	case e.Attempt != nil && e.Attempt.Waits != "":
		p.line(e.At, "       call %d is waiting: %s", e.Attempt.Call, e.Attempt.Waits)
	case e.Attempt != nil:
		p.line(e.At, "       call %d, attempt %d: %s; next at %s%s%s", e.Attempt.Call, e.Attempt.N, e.Attempt.Result, precise(e.Attempt.Next, e.At), stages(e.Attempt.Stages), noted(e.Attempt.Rule))
	case e.Unknown != nil:
		if e.Unknown.Lost != nil {
			p.calls[e.Unknown.Call] = e.Unknown.Lost.Request
		}
		p.line(e.At, "UNKNOWN outcome of call %d (%s): %s%s", e.Unknown.Call, p.calls[e.Unknown.Call], e.Unknown.Reason, stages(e.Unknown.Stages))
	case e.Decision != nil:
		p.line(e.At, "DECIDED call %d: %s by %s%s", e.Decision.Call, e.Decision.Resolution, e.Decision.Who, noted(e.Decision.Note))
	case e.Upgrade != nil:
		p.line(e.At, "MOVED  to version %d of the module (%.12s) by %s", e.Upgrade.Version, e.Upgrade.Digest, e.Upgrade.Who)
	case e.Adopted != nil:
		p.line(e.At, "       call %d is answered by run %s, a child of the original run", e.Adopted.Call, e.Adopted.Run)
	case e.Cancel != nil:
		p.line(e.At, "CANCEL requested by %s%s", e.Cancel.Who, noted(e.Cancel.Note))
	case e.Message != nil:
		m := e.Message
		from := "outside"
		if m.From != "" {
			from = "run " + m.From
		} else if m.Who != "" {
			from = m.Who
		}
		p.line(e.At, "       message %d from %s: %s %s", m.N, from, m.Type, Shorten(string(m.Body), 200))
	case e.Pause != nil:
		what := "PAUSE "
		switch {
		case e.Pause.Resume:
			what = "RESUME"
		case e.Pause.Hold:
			what = "HOLD  "
		}
		p.line(e.At, "%s requested by %s%s", what, e.Pause.Who, noted(e.Pause.Note))
	case e.End != nil:
		p.line(e.At, "END    %s: %s", e.End.Status, e.End.Failure.Message)
	}
}

func (p *Log) turn(e flawless.Entry) {
	t := e.Turn
	given := ""
	if len(t.Answers) > 0 {
		given = fmt.Sprintf(", with answers to %s", list(t.Answers))
	}
	p.line(t.Time, "turn %d%s (%d units)", t.N, given, t.Cost)
	for _, l := range t.Lines {
		p.line(t.Time, "       %s", lineText(l))
	}
	if len(t.Labels) > 0 {
		p.line(t.Time, "       labels: %s", Labels(t.Labels))
	}
	for _, s := range t.Steps {
		if s.Name != "" {
			p.line(t.Time, "       step %d of a saga: %s", s.N, s.Name)
		} else {
			p.line(t.Time, "       step %d of a saga: undone, or the saga has ended", s.N)
		}
	}
	for _, c := range t.Calls {
		if c.Kind == "cancelled" {
			continue
		}
		p.calls[c.N] = request(c)
		p.line(t.Time, "       call %d: %s%s", c.N, request(c), site(c))
		fmt.Fprint(p.w, stackOf(p.stacks[c.N], "                         "))
	}
	if len(t.Data) > 0 {
		p.line(t.Time, "       data: %s", Shorten(string(t.Data), 200))
	}
	switch {
	case t.Ended != nil && t.Ended.Failure != nil:
		p.line(e.At, "END    failed: %s: %s", t.Ended.Failure.Kind, t.Ended.Failure.Message)
		if t.Ended.Failure.Stack != "" {
			fmt.Fprintf(p.w, "  %s\n", strings.ReplaceAll(t.Ended.Failure.Stack, "\n", "\n  "))
		}
	case t.Ended != nil:
		p.line(e.At, "END    completed: %s", Shorten(string(t.Ended.Output), 400))
	case t.Wake != 0:
		p.line(e.At, "       sleeps until %s", precise(t.Wake, t.Time))
	}
}

// line prints one line, below the date if that has changed.
func (p *Log) line(at int64, format string, args ...any) {
	day, within := heading(at)
	if day != p.day {
		p.day = day
		fmt.Fprintf(p.w, "%s\n", day)
	}
	fmt.Fprintf(p.w, "%s  %s\n", within, fmt.Sprintf(format, args...))
}

// stages formats the stages of an exchange, each with the time since the previous one.
func stages(all []flawless.Stage) string {
	if len(all) == 0 {
		return ""
	}
	var parts []string
	for i, s := range all {
		part := s.Name
		if i > 0 {
			part += fmt.Sprintf(" +%v", time.Duration(s.At-all[i-1].At).Round(10*time.Microsecond))
		}
		parts = append(parts, part)
	}
	return "  [" + strings.Join(parts, ", ") + "]"
}

// lineText formats a line that a guest logged.
func lineText(l flawless.Line) string {
	text := l.Level + ": " + l.Text
	if len(l.Fields) > 0 {
		text += " " + string(l.Fields)
	}
	return text
}

// stackOf formats a call stack, innermost frame first.
func stackOf(frames []flawless.StackFrame, indent string) string {
	var b strings.Builder
	for _, f := range frames {
		fmt.Fprintf(&b, "%s%s", indent, f.Func)
		if f.Site.File != "" {
			b.WriteString("  " + position(f.Site))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
