package replay

import (
	"strconv"
	"strings"

	"github.com/flawless-engine/flawless"
)

// maxTasks is the maximum number of tasks that an inspection lists. Goroutines at the same place count once.
const maxTasks = 1000

// tasks reads what a guest says about its goroutines or tasks. The guest is not trusted: what is not
// understood is the state of a task without frames. Guests of the Go SDK write
//
//	goroutine: STATE                  or: 2 goroutines, each: STATE
//	    FUNCTION  FILE:LINE
//	    started by FUNCTION  FILE:LINE
//
// and guests of the Rust SDK one line per task or call: WHAT at FILE:LINE.
func tasks(text string) []flawless.Task {
	var out []flawless.Task
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		inner, indented := strings.CutPrefix(line, "    ")
		switch {
		case strings.TrimSpace(line) == "":
		case indented && len(out) > 0:
			last := &out[len(out)-1]
			if creator, ok := strings.CutPrefix(inner, "started by "); ok {
				f := frameOf(creator)
				last.Started = &f
			} else {
				last.Frames = append(last.Frames, frameOf(inner))
			}
		case len(out) == maxTasks:
			return out
		default:
			out = append(out, taskOf(line))
		}
	}
	return out
}

// taskOf reads the first line of a task.
func taskOf(line string) flawless.Task {
	t := flawless.Task{Count: 1, State: line, Frames: []flawless.StackFrame{}}
	if state, ok := strings.CutPrefix(line, "goroutine: "); ok {
		t.State = state
		return t
	}
	if number, state, ok := strings.Cut(line, " goroutines, each: "); ok {
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			t.Count, t.State = n, state
			return t
		}
	}
	if at := strings.LastIndex(line, " at "); at >= 0 {
		if site := flawless.ParseSite(line[at+len(" at "):]); site.Line > 0 {
			t.State, t.Frames = line[:at], append(t.Frames, flawless.StackFrame{Site: site})
		}
	}
	if number, state, ok := strings.Cut(t.State, ": "); ok {
		if n, err := strconv.Atoi(strings.TrimPrefix(number, "call ")); err == nil && strings.HasPrefix(number, "call ") && n > 0 {
			t.Call, t.State = n, state
		}
	}
	return t
}

// frameOf reads FUNCTION  FILE:LINE.
func frameOf(text string) flawless.StackFrame {
	if at := strings.LastIndex(text, "  "); at >= 0 {
		if site := flawless.ParseSite(text[at+2:]); site.Line > 0 {
			return flawless.StackFrame{Func: text[:at], Site: site}
		}
	}
	return flawless.StackFrame{Func: text}
}
