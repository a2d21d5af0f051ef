package render

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Run prints a run with its calls, and what to do if it needs a decision.
func Run(w io.Writer, r flawless.Run, calls []Call) {
	p := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	p("run", "%s", r.ID)
	p("workflow", "%s/%s (%.12s)", r.Module, r.Workflow, r.Digest)
	p("status", "%s", r.Status)
	p("created", "%s", Time(r.Created))
	if r.Ended != nil {
		p("ended", "%s", Time(*r.Ended))
	}
	if r.Computing != nil {
		p("computing", "since %s, without making a call; a loop that polls for something never ends", Time(*r.Computing))
	}
	if r.Wake != nil && !r.Status.Ended() {
		p("wakes", "%s", Time(*r.Wake))
	}
	if r.Waiting != nil {
		p("waiting", "%s", strings.TrimPrefix(r.Waiting.Sentence(Time), "waits "))
	}
	if len(r.Labels) > 0 {
		p("labels", "%s", Labels(r.Labels))
	}
	if r.Queue != nil {
		p("queue", "%s", queueText(*r.Queue))
	}
	if r.Parent != "" {
		p("parent", "%s", r.Parent)
	}
	if r.Of != "" {
		p("origin", "run %s", r.Of)
	}
	if r.Deadline != nil && !r.Status.Ended() {
		p("deadline", "%s", Time(*r.Deadline))
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
			fmt.Fprintln(w, r.Failure.Stack)
		}
	}
	if len(r.Output) > 0 {
		p("output", "%s", r.Output)
	}
	if len(calls) > 0 {
		fmt.Fprintln(w)
		var rows [][]string
		for _, c := range calls {
			rows = append(rows, []string{fmt.Sprint(c.N), c.state(), fmt.Sprint(c.Attempts), Shorten(c.Call, 100)})
		}
		Table(w, "CALL\tSTATE\tATTEMPTS\tREQUEST", rows)
	}
	for _, t := range r.Retrying {
		fmt.Fprintf(w, "\n%s\n  %s\n", retryingText(t), t.Request)
		if t.Rule != "" {
			fmt.Fprintf(w, "  %s\n", t.Rule)
		}
		if t.Until != nil {
			fmt.Fprintf(w, "  no attempt begins after %s\n", Time(*t.Until))
		}
		if t.Next != nil {
			fmt.Fprintf(w, "  flawless workflow retry %s --call %d             retry it now\n  flawless workflow retry %s --call %d --give-up   stop retrying\n", r.ID, t.Call, r.ID, t.Call)
		}
	}
	if n := r.RetryingCalls - len(r.Retrying); n > 0 {
		fmt.Fprintf(w, "\n%d more calls are being retried\n", n)
	}
	for _, d := range r.Unresolved {
		fmt.Fprintf(w, "\nthe outcome of call %d is unknown: %s\n  %s\n", d.Call, d.Request, d.Reason)
		showSent(w, d)
		fmt.Fprintln(w, "find out whether it took effect, then run one of")
		for _, how := range []string{"--retry            it did not take effect: send it again", "--response FILE    it took effect, and this was the answer", "--error TEXT       return this error to the code", "--fail             fail the run"} {
			fmt.Fprintf(w, "  flawless workflow resolve %s --call %d %s\n", r.ID, d.Call, how)
		}
	}
}

// Unread prints the first messages that a run has not received, and how many there are.
func Unread(w io.Writer, r flawless.Run, first []flawless.Message) {
	if r.Mail == 0 {
		return
	}
	yet := "has not received yet"
	if r.Status.Ended() {
		yet = "never received"
	}
	fmt.Fprintf(w, "\n%s that it %s\n", Count(r.Mail, "message"), yet)
	var rows [][]string
	for _, m := range first {
		from := "a client"
		if m.From != "" {
			from = "run " + m.From
		}
		rows = append(rows, []string{fmt.Sprint(m.N), m.Type, from, Shorten(string(m.Body), 100)})
	}
	Table(w, "MESSAGE\tTYPE\tFROM\tVALUE", rows)
	if left := r.Mail - len(first); left > 0 {
		fmt.Fprintf(w, "and %d more; see GET /api/v1%s\n", left, "/runs/"+url.PathEscape(r.ID)+"/messages")
	}
}

// showSent prints the request of a call as it was sent, so that you can look for it on the other side.
func showSent(w io.Writer, d flawless.Doubt) {
	s := d.Sent
	if s == nil {
		fmt.Fprintf(w, "  outcome unknown since %s\n", Time(d.Since))
		return
	}
	fmt.Fprintf(w, "  attempt %d began %s, its outcome is unknown since %s; it was sent as\n    %s %s\n", s.Attempt, Time(s.Begun), Time(d.Since), s.Method, s.URL)
	var headers [][2]string
	_ = json.Unmarshal(s.Headers, &headers) // the server has encoded them
	for _, h := range headers {
		fmt.Fprintf(w, "    %s: %s\n", h[0], oneLine(h[1]))
	}
	if s.Size > 0 {
		fmt.Fprintf(w, "    %s (%d bytes)\n", Shorten(string(s.Body), 1000), s.Size)
	}
}

// Detail returns what matters most about a run in a list: a problem, a retry, a failure, or what it waits for.
func Detail(r flawless.Run) string {
	switch {
	case r.Problem != "":
		return Shorten("problem: "+r.Problem, 80)
	case len(r.Unresolved) > 0:
		return Shorten(fmt.Sprintf("call %d, outcome unknown: %s", r.Unresolved[0].Call, r.Unresolved[0].Request), 80)
	case len(r.Retrying) > 0:
		return Shorten(retryingText(r.Retrying[0]), 160)
	case r.Failure != nil:
		return Shorten(r.Failure.Kind+": "+r.Failure.Message, 80)
	case r.Status == flawless.Pending && r.Queue != nil && r.Queue.Key != "":
		return Shorten("queued: "+r.Queue.Key, 80)
	case r.Waiting != nil:
		return Shorten(r.Waiting.Sentence(Time), 160)
	case r.Wake != nil && !r.Status.Ended():
		return "until " + Time(*r.Wake)
	}
	return ""
}

// retryingText formats the state of a call that is being retried.
func retryingText(r flawless.Retrying) string {
	text := fmt.Sprintf("retrying call %d since %s, %s: %s", r.Call, Time(r.Since), Count(r.Attempts, "attempt"), r.Reason)
	if r.Next == nil {
		return text + "; an attempt is in progress or waits for a permit"
	}
	return text + "; next attempt " + Time(*r.Next)
}

// queueText formats the concurrency key and the priority of a run.
func queueText(p flawless.QueueOptions) string {
	if p.Key == "" {
		return fmt.Sprintf("priority %d", p.Priority)
	}
	return fmt.Sprintf("key %q, at most %d at once, priority %d", p.Key, p.Limit, p.Priority)
}
