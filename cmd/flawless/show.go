package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

// fate is what became of a call.
type fate struct {
	N     int    `json:"n"`
	Call  string `json:"call"`
	State string `json:"state"` // in flight, answered, delivered, in doubt
	Tries int    `json:"tries"`
}

func (a *app) showCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "show ID", Short: "Show a run, its calls and its children", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := a.connect()
			if err != nil {
				return err
			}
			r, err := cl.Run(c.Context(), args[0], false)
			if err != nil {
				return err
			}
			calls := map[int]*fate{}
			for rec, err := range cl.WholeLog(c.Context(), r.ID) {
				if err != nil && r.Problem != "" {
					break // the run was set aside because of that
				}
				if err != nil {
					return err
				}
				follow(calls, rec)
			}
			fates := make([]fate, 0, len(calls))
			for _, n := range slices.Sorted(maps.Keys(calls)) {
				fates = append(fates, *calls[n])
			}
			var family []kin
			if slices.ContainsFunc(fates, func(f fate) bool { return strings.HasPrefix(f.Call, "spawn ") }) {
				if family, err = children(c.Context(), cl, r.ID, 1); err != nil {
					return err
				}
			}
			var unread []flawless.Message
			if r.Mail > 0 && r.Problem == "" {
				if unread, err = cl.Unread(c.Context(), r.ID, 10); err != nil {
					return err
				}
			}
			if a.json {
				return a.printJSON(map[string]any{"run": r, "calls": fates, "children": family, "unread": unread})
			}
			left := 0
			if !all {
				fates, left = fewer(fates)
			}
			a.showRun(r, fates)
			a.showUnread(r, unread)
			if left > 0 {
				fmt.Fprintf(a.out, "and %d more calls; show them with --all\n", left)
			}
			if len(family) > 0 {
				fmt.Fprintf(a.out, "\n%d children: %s\n", len(family), census(family))
				tree(a.out, family, "")
			}
			return nil
		}}
	c.Flags().BoolVar(&all, "all", false, "show all calls")
	return c
}

// state is the state of a call for people to read. That in JSON is for programs, and keeps its names.
func (f fate) state() string {
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

// follow takes a record into what is known of the calls.
func follow(calls map[int]*fate, rec flawless.Record) {
	set := func(n int, state string, tries int) {
		if f := calls[n]; f != nil {
			f.State = state
			f.Tries = max(f.Tries, tries)
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
					calls[c.N] = &fate{c.N, request(c), "in flight", 1}
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
			set(e.Decision.Call, "in flight", calls[e.Decision.Call].Tries+1)
		}
	}
}

// showSent shows what the outside has seen of a call, so that one can look for it there.
func (a *app) showSent(d flawless.Doubt) {
	s := d.Sent
	if s == nil {
		fmt.Fprintf(a.out, "  outcome unknown since %s\n", ago(d.Since))
		return
	}
	fmt.Fprintf(a.out, "  attempt %d began %s, its outcome is unknown since %s; it was sent as\n    %s %s\n", s.Try, ago(s.Begun), ago(d.Since), s.Method, s.URL)
	var headers [][2]string
	_ = json.Unmarshal(s.Headers, &headers) // the server wrote it
	for _, h := range headers {
		fmt.Fprintf(a.out, "    %s: %s\n", h[0], oneLine(h[1]))
	}
	if s.Size > 0 {
		fmt.Fprintf(a.out, "    %s (%d bytes)\n", shortened(string(s.Body), 1000), s.Size)
	}
}

// showUnread prints the messages that a run has not received: the first ones.
func (a *app) showUnread(r flawless.Run, first []flawless.Message) {
	if r.Mail == 0 {
		return
	}
	yet := "has not received yet"
	if r.Status.Ended() {
		yet = "never received"
	}
	fmt.Fprintf(a.out, "\n%s that it %s\n", count(r.Mail, "message"), yet)
	var rows [][]string
	for _, m := range first {
		from := "a client"
		if m.From != "" {
			from = "run " + m.From
		}
		rows = append(rows, []string{fmt.Sprint(m.N), m.Type, from, shortened(string(m.Body), 100)})
	}
	a.table("MESSAGE\tTYPE\tFROM\tVALUE", rows)
	if left := r.Mail - len(first); left > 0 {
		fmt.Fprintf(a.out, "and %d more; see GET /api/v1%s\n", left, "/runs/"+url.PathEscape(r.ID)+"/messages")
	}
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func (a *app) showRun(r flawless.Run, calls []fate) {
	p := func(name, format string, args ...any) {
		fmt.Fprintf(a.out, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	p("run", "%s", r.ID)
	p("workflow", "%s/%s (%.12s)", r.Module, r.Workflow, r.Digest)
	p("status", "%s", r.Status)
	p("created", "%s", ago(r.Created))
	if r.Ended != nil {
		p("ended", "%s", ago(*r.Ended))
	}
	if r.Computing != nil {
		p("computing", "since %s, without making a call; a loop that polls for something never ends", ago(*r.Computing))
	}
	if r.Wake != nil && !r.Status.Ended() {
		p("wakes", "%s", ago(*r.Wake))
	}
	if len(r.Labels) > 0 {
		p("labels", "%s", labelText(r.Labels))
	}
	if r.Place != nil {
		p("queue", "%s", placeText(*r.Place))
	}
	if r.Parent != "" {
		p("parent", "%s", r.Parent)
	}
	if r.Of != "" {
		p("origin", "run %s", r.Of)
	}
	if r.Deadline != nil && !r.Status.Ended() {
		p("deadline", "%s", ago(*r.Deadline))
	}
	p("turns", "%d, %d units", r.Turns, r.Cost)
	if r.CancelRequested && !r.Status.Ended() {
		p("cancel", "requested")
	}
	if r.Pause != nil && !r.Status.Ended() {
		what := "paused"
		if r.Pause.Hold {
			what = "held"
		}
		p(what, "by %s%s", r.Pause.Who, noted(r.Pause.Note))
		if r.Pause.Hold {
			p("", "to release it: flawless workflow resume %s", r.ID)
		}
	}
	if r.Problem != "" {
		p("problem", "%s", r.Problem)
	}
	if r.Failure != nil {
		p("failure", "%s: %s", r.Failure.Kind, r.Failure.Message)
		if r.Failure.Stack != "" {
			fmt.Fprintln(a.out, r.Failure.Stack)
		}
	}
	if len(r.Output) > 0 {
		p("output", "%s", r.Output)
	}
	if len(calls) > 0 {
		fmt.Fprintln(a.out)
		var rows [][]string
		for _, c := range calls {
			rows = append(rows, []string{fmt.Sprint(c.N), c.state(), fmt.Sprint(c.Tries), shortened(c.Call, 100)})
		}
		a.table("CALL\tSTATE\tATTEMPTS\tREQUEST", rows)
	}
	for _, t := range r.Retrying {
		fmt.Fprintf(a.out, "\n%s\n  %s\n", retryingText(t), t.Request)
		if t.Rule != "" {
			fmt.Fprintf(a.out, "  %s\n", t.Rule)
		}
		if t.Until != nil {
			fmt.Fprintf(a.out, "  no attempt begins after %s\n", ago(*t.Until))
		}
		if t.Next != nil {
			fmt.Fprintf(a.out, "  flawless workflow retry %s --call %d             retry it now\n  flawless workflow retry %s --call %d --give-up   stop retrying\n", r.ID, t.Call, r.ID, t.Call)
		}
	}
	if n := r.RetryingCalls - len(r.Retrying); n > 0 {
		fmt.Fprintf(a.out, "\n%d more calls are tried again\n", n)
	}
	for _, d := range r.Unresolved {
		fmt.Fprintf(a.out, "\nthe outcome of call %d is unknown: %s\n  %s\n", d.Call, d.Request, d.Reason)
		a.showSent(d)
		fmt.Fprintln(a.out, "find out whether it took effect, then run one of")
		for _, how := range []string{"--retry            it did not take effect: send it again", "--response FILE    it took effect, and this was the answer", "--error TEXT       return this error to the code", "--fail             fail the run"} {
			fmt.Fprintf(a.out, "  flawless workflow resolve %s --call %d %s\n", r.ID, d.Call, how)
		}
	}
}
