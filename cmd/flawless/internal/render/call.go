package render

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Call is a call of a run, and how far it has come.
type Call struct {
	N        int    `json:"n"`
	Call     string `json:"call"`
	State    string `json:"state"` // in flight, waits for its place, to be tried again, in doubt, answered or delivered
	Attempts int    `json:"tries"`
}

// state returns the state in the words of the documentation. Programs depend on the words in JSON, so those
// stay as they are.
func (f Call) state() string {
	switch f.State {
	case "waits for its place":
		return "queued"
	case "to be tried again":
		return "retrying"
	case "in doubt":
		return "outcome unknown"
	}
	return f.State
}

// Calls collects the calls of a run from its log, by number.
type Calls map[int]*Call

// Add updates the calls from the next record of the log.
func (calls Calls) Add(rec flawless.Record) {
	set := func(n int, state string, attempts int) {
		if f := calls[n]; f != nil {
			f.State = state
			f.Attempts = max(f.Attempts, attempts)
		}
	}
	for _, e := range rec.Entries {
		switch {
		case e.Turn != nil:
			for _, n := range e.Turn.Answers {
				set(n, "delivered", 0)
			}
			for _, c := range e.Turn.Calls {
				if c.Kind != "cancelled" {
					calls[c.N] = &Call{c.N, request(c), "in flight", 1}
				}
			}
		case e.Arrival != nil:
			set(e.Arrival.Call, "answered", 0)
		case e.Attempt != nil && e.Attempt.Begun:
			set(e.Attempt.Call, "in flight", e.Attempt.N)
		case e.Attempt != nil && e.Attempt.Waits != "":
			set(e.Attempt.Call, "waits for its place", e.Attempt.N)
		case e.Attempt != nil:
			set(e.Attempt.Call, "to be tried again", e.Attempt.N)
		case e.Unknown != nil:
			set(e.Unknown.Call, "in doubt", 0)
		case e.Decision != nil && e.Decision.Resolution == flawless.Retry:
			set(e.Decision.Call, "in flight", calls[e.Decision.Call].Attempts+1)
		}
	}
}

// List returns the calls by ascending number.
func (calls Calls) List() []Call {
	out := make([]Call, 0, len(calls))
	for _, n := range slices.Sorted(maps.Keys(calls)) {
		out = append(out, *calls[n])
	}
	return out
}

// Shortlist shortens a long list: it keeps the newest calls and those whose answer is not delivered yet.
func Shortlist(calls []Call) (shown []Call, left int) {
	const limit, newest = 60, 20
	if len(calls) <= limit {
		return calls, 0
	}
	for i, c := range calls {
		if i >= len(calls)-newest || c.State != "delivered" && len(shown) < limit-newest {
			shown = append(shown, c)
		}
	}
	return shown, len(calls) - len(shown)
}

// request formats what a call asks for, in one line.
func request(c flawless.Call) string {
	var h struct {
		Method, URL, Module, Workflow, To, Type, Message, Run, Name, Op, Request, Why string
		Detached, Close                                                               bool
		Call                                                                          int
	}
	if json.Unmarshal(c.Head, &h) != nil {
		return c.Kind + " " + Shorten(string(c.Head), 100)
	}
	body := ""
	if len(c.Body) > 0 {
		body = " " + Shorten(string(c.Body), 80)
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
	return c.Kind + " " + Shorten(string(c.Head), 100)
}

// site formats the line that led to a call in parentheses. It is empty if the call has none.
func site(c flawless.Call) string {
	if at := c.Site(); at != "" {
		return "  (" + at + ")"
	}
	return ""
}

// path formats the lines that led to a call in parentheses, from the workflow to the call site.
func path(c flawless.Call) string {
	if p := c.Path(); p != "" {
		return "  (" + p + ")"
	}
	return ""
}

// answer formats an answer in one line.
func answer(a *flawless.Arrival) string {
	var h struct {
		Status int
		End    bool // of a streamed response
		Error  *struct{ Kind, Message string }
	}
	if json.Unmarshal(a.Head, &h) != nil {
		return Shorten(string(a.Head), 100)
	}
	switch {
	case h.Error != nil:
		return h.Error.Kind + ": " + h.Error.Message
	case h.Status != 0:
		return fmt.Sprintf("%d %s", h.Status, Shorten(string(a.Body), 100))
	case h.End:
		return strings.TrimSpace(Shorten(string(a.Body), 100) + " (end)")
	case string(a.Head) == "{}" && len(a.Body) > 0:
		return Shorten(string(a.Body), 100)
	}
	return Shorten(string(a.Head), 100)
}
