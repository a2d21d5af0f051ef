package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// Replay prints the result of a replay.
func Replay(w io.Writer, r flawless.Replay, source Sources) {
	with := "its own module"
	if !r.Own {
		with = "another module"
	}
	fmt.Fprintf(w, "replayed run %s (%s/%s) with %s (%.12s)\n", r.Run, r.Module, r.Workflow, with, r.Digest)
	fmt.Fprintf(w, "%d of %d turns, %s, %d units in %v; memory %s, hash %.16s\n", r.Turns, r.Of, Count(r.Calls, "call"), r.Cost, r.Took.Round(10*time.Microsecond), Size(r.Memory), r.Hash)
	printedLines(w, r)
	if r.Divergence != nil {
		Divergence(w, r.Divergence, source.of(r.Own))
	}
}

// printedLines prints the lines that the code logged in a replay and that are not in the log.
func printedLines(w io.Writer, r flawless.Replay) {
	for _, l := range r.Lines {
		fmt.Fprintf(w, "turn %d  %s\n", l.Turn, lineText(l.Line))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more lines\n", r.More)
	}
}

// Offline prints what a fork would do.
func Offline(w io.Writer, r flawless.Offline) {
	fmt.Fprintf(w, "run %s from turn %d, offline (%.12s)\n", r.Run, r.Turn, r.Digest)
	p := NewLog(w)
	for i := range r.Turns {
		p.turn(flawless.Entry{At: r.Turns[i].Time, Turn: &r.Turns[i]})
	}
	for _, c := range r.Would {
		fmt.Fprintf(w, "next call: %s%s\n", request(c), site(c))
		if len(c.Body) > 0 {
			fmt.Fprintf(w, "      %s\n", Shorten(string(c.Body), 400))
		}
	}
	for _, c := range r.Waits {
		fmt.Fprintf(w, "waiting for call %d: %s%s\n", c.N, request(c), site(c))
	}
	if r.Failure != "" {
		fmt.Fprintln(w, r.Failure)
	}
}

// Difference prints the first turn where two runs differ.
func Difference(w io.Writer, d flawless.Difference) {
	if d.Same {
		fmt.Fprintln(w, "the runs do not differ")
		return
	}
	where := fmt.Sprintf("turn %d", d.Turn)
	if d.Turn == 0 {
		where = "the start"
	}
	fmt.Fprintf(w, "the runs differ in %s: %s", where, d.What)
	if d.Call > 0 {
		fmt.Fprintf(w, " %d", d.Call)
	}
	fmt.Fprintln(w)
	for _, side := range []struct{ id, text, site string }{{d.A, d.InA, d.SiteA}, {d.B, d.InB, d.SiteB}} {
		text := Shorten(side.text, 1000)
		if text == "" {
			text = "nothing"
		}
		if side.site != "" {
			text += "  (" + side.site + ")"
		}
		fmt.Fprintf(w, "  %s: %s\n", side.id, text)
	}
}

// Inspection prints the state of a run after a turn. source returns the text of the file of a position, "" if it is
// unknown; the lines around the position are printed.
func Inspection(w io.Writer, i flawless.Inspection, source func(flawless.Site) string) {
	p := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	p("run", "%s after turn %d", i.Run, i.Turn)
	p("clock", "%s", precise(i.Time, 0))
	p("memory", "%s, %s of its own", Size(int64(i.Memory)), Size(int64(i.Own)))
	if i.Wake != 0 {
		p("timer", "%s", precise(i.Wake, i.Time))
	}
	if len(i.Data) > 0 {
		p("data", "%s", i.Data)
	}
	if i.Ended != nil {
		p("ended", "%s", i.Ended)
	}
	for _, c := range i.Pending {
		state := "no answer"
		if slices.Contains(i.Arrived, c.N) {
			state = "answered, not delivered yet"
		}
		p("call", "%d %s, %s%s", c.N, request(c), state, path(c))
		for _, s := range i.Stacks {
			if s.N == c.N && len(s.Stack) > 1 { // one line is above already
				printStack(w, s.Stack, source)
			}
		}
	}
	if len(i.Tasks) > 0 {
		fmt.Fprintln(w, "blocked")
	}
	for _, t := range i.Tasks {
		printTask(w, t, source)
	}
	if i.Against > 0 {
		pages, bytes := 0, 0
		for _, ch := range i.Changes {
			pages += ch.Pages
			bytes += ch.Bytes
		}
		fmt.Fprintf(w, "compared with turn %d: %d bytes differ in %d pages\n", i.Against, bytes, pages)
		var rows [][]string
		for _, ch := range i.Changes {
			rows = append(rows, []string{fmt.Sprintf("%#x", ch.From), fmt.Sprint(ch.Pages), fmt.Sprint(ch.Bytes)})
		}
		Table(w, "ADDRESS\tPAGES\tBYTES", rows)
	}
}

// printTask prints where goroutines or tasks wait.
func printTask(w io.Writer, t flawless.Task, source func(flawless.Site) string) {
	state := t.State
	switch {
	case t.Call > 0:
		state = fmt.Sprintf("call %d: %s", t.Call, state)
	case t.Count > 1:
		state = fmt.Sprintf("%d goroutines, each: %s", t.Count, state)
	case len(t.Frames) > 0 && t.Frames[0].Func != "":
		state = "goroutine: " + state
	}
	fmt.Fprintf(w, "  %s\n", state)
	printStack(w, t.Frames, source)
	if t.Started != nil {
		printStackFrame(w, "started by ", *t.Started, source)
	}
}

func printStack(w io.Writer, frames []flawless.StackFrame, source func(flawless.Site) string) {
	for _, f := range frames {
		printStackFrame(w, "", f, source)
	}
}

func printStackFrame(w io.Writer, what string, f flawless.StackFrame, source func(flawless.Site) string) {
	line := what + f.Func
	if f.Site.Line > 0 {
		line = strings.TrimLeft(line+"  "+position(f.Site), " ")
	}
	fmt.Fprintf(w, "      %s\n", line)
	excerpt(w, source(f.Site), f.Site.Line)
}

// excerpt prints the lines around a line, which it marks.
func excerpt(w io.Writer, text string, line int) {
	const around = 2
	n := 0
	for one := range strings.Lines(text) {
		if n++; n > line+around {
			return
		}
		if n < line-around {
			continue
		}
		mark := " "
		if n == line {
			mark = ">"
		}
		fmt.Fprintf(w, "        %s %4d | %s\n", mark, n, strings.TrimRight(one, "\r\n"))
	}
}

// Matches prints where a run has a text; note gets a line if that is nowhere.
func Matches(w, note io.Writer, id string, all []flawless.Match) {
	var rows [][]string
	for _, m := range all {
		what := m.What
		if m.Call > 0 {
			what = fmt.Sprintf("call %d", m.Call)
		}
		rows = append(rows, []string{fmt.Sprint(m.Turn), what, m.Site, m.Text})
	}
	if len(rows) == 0 {
		fmt.Fprintf(note, "no turn of run %s has this text in its data, calls or log lines\n", id)
		return
	}
	Table(w, "TURN\tWHERE\tSITE\tTEXT", rows)
}

// Source prints a file, or the list of files in a module; note gets a line if there are none.
func Source(w, note io.Writer, module string, s flawless.Source, one bool) {
	switch {
	case one:
		for _, f := range s.Files {
			fmt.Fprint(w, f.Text)
		}
	case len(s.Files) == 0:
		fmt.Fprintf(note, "module %s (%.12s) has no source files; flawless build puts them in\n", module, s.Digest)
	default:
		var rows [][]string
		for _, f := range s.Files {
			rows = append(rows, []string{f.Name, fmt.Sprint(f.Lines)})
		}
		Table(w, "FILE\tLINES", rows)
	}
}
