package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

func (a *app) logCommand() *cobra.Command {
	var follow, stack bool
	c := &cobra.Command{Use: "log ID", Short: "Print the log of a run", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			records := cl.WholeLog(c.Context(), args[0])
			if follow {
				records = cl.Follow(c.Context(), args[0], 0)
			}
			p := newStory(a.out)
			if stack {
				if follow {
					return fmt.Errorf("--stack and --follow cannot be combined, because the stacks come from a replay: %w", flawless.Invalid)
				}
				t, err := cl.Trace(c.Context(), args[0], client.Trace{Depth: 1}, nil)
				if err != nil {
					return err
				}
				for _, turn := range t.Turns {
					for _, made := range turn.Calls {
						p.stacks[made.N] = made.Stack
					}
				}
				if a.json {
					return a.printJSON(p.stacks)
				}
			}
			for rec, err := range records {
				if err != nil {
					return err
				}
				if a.json {
					if err := a.printLine(rec); err != nil {
						return err
					}
					continue
				}
				p.record(rec)
			}
			return nil
		}}
	c.Flags().BoolVar(&stack, "stack", false, "show the call stack at each call, from a replay")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "keep printing until the run has ended")
	return c
}

// story tells a log to people.
type story struct {
	w     io.Writer
	calls map[int]string
	day   string

	stacks map[int][]flawless.StackFrame // by call; empty where they are not asked for
}

func newStory(w io.Writer) *story {
	return &story{w, map[int]string{}, "", map[int][]flawless.StackFrame{}}
}

func (p *story) line(at int64, format string, args ...any) {
	day, within := heading(at)
	if day != p.day {
		p.day = day
		fmt.Fprintf(p.w, "%s\n", day)
	}
	fmt.Fprintf(p.w, "%s  %s\n", within, fmt.Sprintf(format, args...))
}

func (p *story) record(rec flawless.Record) {
	for _, e := range rec.Entries {
		p.entry(e)
	}
	if c := rec.Cut; c != nil {
		fmt.Fprintf(p.w, "...           records up to turn %d were removed (--keep-turns of the module)\n", c.Turns)
	}
}

func (p *story) entry(e flawless.Entry) {
	switch {
	case e.Start != nil:
		p.line(e.At, "start  %s/%s (%.12s) with %s", e.Start.Module, e.Start.Workflow, e.Start.Digest, shortened(string(e.Start.Input), 200))
		if o := e.Start.Origin; o != nil && o.Turn > 0 {
			p.line(e.At, "       forked from run %s at turn %d", o.Of, o.Turn)
		} else if o != nil {
			p.line(e.At, "       restart of run %s", o.Of)
		}
	case e.Turn != nil:
		p.turn(e)
	case e.Arrival != nil:
		text, note := answer(e.Arrival), noted(e.Arrival.Note)
		if strings.HasSuffix(text, e.Arrival.Note) { // the answer says it already
			note = ""
		}
		p.line(e.At, "       call %d answered: %s%s%s", e.Arrival.Call, text, stages(e.Arrival.Stages), note)
	case e.Attempt != nil && e.Attempt.Begun:
		p.line(e.At, "       call %d, attempt %d begins%s", e.Attempt.Call, e.Attempt.N, noted(e.Attempt.Result))
	case e.Attempt != nil && e.Attempt.Waits != "":
		p.line(e.At, "       call %d is waiting: %s", e.Attempt.Call, e.Attempt.Waits)
	case e.Attempt != nil:
		p.line(e.At, "       call %d, attempt %d: %s; next at %s%s%s", e.Attempt.Call, e.Attempt.N, e.Attempt.Result, fine(e.Attempt.Next, e.At), stages(e.Attempt.Stages), noted(e.Attempt.Rule))
	case e.Unknown != nil:
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
		p.line(e.At, "       message %d from %s: %s %s", m.N, from, m.Type, shortened(string(m.Body), 200))
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

func (p *story) turn(e flawless.Entry) {
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
		p.line(t.Time, "       labels: %s", labelText(t.Labels))
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
		p.line(t.Time, "       data: %s", shortened(string(t.Data), 200))
	}
	switch {
	case t.Ended != nil && t.Ended.Failure != nil:
		p.line(e.At, "END    failed: %s: %s", t.Ended.Failure.Kind, t.Ended.Failure.Message)
		if t.Ended.Failure.Stack != "" {
			fmt.Fprintf(p.w, "  %s\n", strings.ReplaceAll(t.Ended.Failure.Stack, "\n", "\n  "))
		}
	case t.Ended != nil:
		p.line(e.At, "END    completed: %s", shortened(string(t.Ended.Output), 400))
	case t.Wake != 0:
		p.line(e.At, "       sleeps until %s", fine(t.Wake, t.Time))
	}
}

func list(ns []int) string { return strings.Trim(strings.ReplaceAll(fmt.Sprint(ns), " ", ", "), "[]") }

// request is a call in a line.
func request(c flawless.Call) string {
	var h struct {
		Method, URL, Module, Workflow, To, Type, Message, Run, Name, Op, Request, Why string
		Detached, Close                                                               bool
		Call                                                                          int
	}
	if json.Unmarshal(c.Head, &h) != nil {
		return c.Kind + " " + shortened(string(c.Head), 100)
	}
	body := ""
	if len(c.Body) > 0 {
		body = " " + shortened(string(c.Body), 80)
	}
	switch c.Kind {
	case "http":
		if h.Method == "" {
			h.Method = "GET"
		}
		return h.Method + " " + h.URL
	case "spawn":
		if h.Module != "" {
			h.Workflow = h.Module + "/" + h.Workflow
		}
		if h.Detached {
			h.Workflow += " (detached)"
		}
		return "spawn " + h.Workflow + body
	case "await":
		return "await run " + h.Run
	case "send":
		return "send " + h.Type + body + " to run " + h.To
	case "receive":
		return "receive " + h.Type
	case "reply":
		return "reply" + body + " to message " + h.Message
	case "read":
		if h.Close {
			return fmt.Sprintf("close the response to call %d", h.Call)
		}
		return fmt.Sprintf("read more of the response to call %d", h.Call)
	case "withdraw":
		return fmt.Sprintf("withdraw call %d (%s)", h.Call, h.Why)
	case "promise", "secret":
		return c.Kind + " " + h.Name
	case "state":
		return h.Op + " state " + h.Name + body
	case "doubt":
		return h.Request
	}
	return c.Kind + " " + shortened(string(c.Head), 100)
}

func site(c flawless.Call) string {
	var h struct {
		At string `json:"at"`
	}
	if json.Unmarshal(c.Head, &h) == nil && h.At != "" {
		return "  (" + h.At + ")"
	}
	return ""
}

// answer is an answer in a line.
func answer(a *flawless.Arrival) string {
	var h struct {
		Status int
		End    bool // of a streamed response
		Error  *struct{ Kind, Message string }
	}
	if json.Unmarshal(a.Head, &h) != nil {
		return shortened(string(a.Head), 100)
	}
	switch {
	case h.Error != nil:
		return h.Error.Kind + ": " + h.Error.Message
	case h.Status != 0:
		return fmt.Sprintf("%d %s", h.Status, shortened(string(a.Body), 100))
	case h.End:
		return strings.TrimSpace(shortened(string(a.Body), 100) + " (end)")
	case string(a.Head) == "{}" && len(a.Body) > 0:
		return shortened(string(a.Body), 100)
	}
	return shortened(string(a.Head), 100)
}

// stages shows how long an exchange took from one stage to the next.
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

func noted(s string) string {
	if s == "" {
		return ""
	}
	return " (" + oneLine(s) + ")"
}

// lineText is a line that a guest logged.
func lineText(l flawless.Line) string {
	text := l.Level + ": " + l.Text
	if len(l.Fields) > 0 {
		text += " " + string(l.Fields)
	}
	return text
}
