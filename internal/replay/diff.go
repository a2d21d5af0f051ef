package replay

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/value"
)

// Diff compares two logs, see [Engine.Diff].
func Diff(a, b iter.Seq2[flawless.Record, error]) (flawless.Difference, error) {
	x, err := newHistory(a)
	if err != nil {
		return flawless.Difference{}, err
	}
	y, err := newHistory(b)
	if err != nil {
		return flawless.Difference{}, err
	}
	d := &differ{}
	d.text("workflow", x.start.Module+"/"+x.start.Workflow, y.start.Module+"/"+y.start.Workflow)
	d.json("input", x.start.Input, y.start.Input)
	for i := 0; i < min(len(x.turns), len(y.turns)) && !d.found; i++ {
		d.Turn = i + 1
		d.turn(x, y, i)
	}
	if !d.found && len(x.turns) != len(y.turns) {
		d.Turn = min(len(x.turns), len(y.turns)) + 1
		d.text("length", x.length(), y.length())
	}
	if !d.found {
		d.text("end", x.end, y.end)
	}
	if d.Same = !d.found; d.Same {
		d.Turn = 0
	}
	return d.Difference, nil
}

// history is a log by turn.
type history struct {
	start   flawless.Start
	turns   []*flawless.Turn
	answers map[int]flawless.Answer
	end     string // set by the engine
}

func newHistory(log iter.Seq2[flawless.Record, error]) (*history, error) {
	h := &history{answers: map[int]flawless.Answer{}}
	for rec, err := range log {
		if err != nil {
			return nil, err
		}
		for _, x := range rec.Entries {
			switch {
			case x.Start != nil:
				h.start = *x.Start
			case x.Turn != nil:
				h.turns = append(h.turns, x.Turn)
			case x.Arrival != nil:
				h.answers[x.Arrival.Call] = x.Arrival.Answer
			case x.End != nil:
				h.end = fmt.Sprintf("%s: %s", x.End.Status, x.End.Failure.Message)
			}
		}
	}
	return h, nil
}

func (h *history) length() string {
	s := fmt.Sprintf("%d turns", len(h.turns))
	if h.end != "" {
		s += ", " + h.end
	}
	return s
}

// differ finds the first difference.
type differ struct {
	flawless.Difference
	found bool
}

func (d *differ) text(what, a, b string) {
	if !d.found && a != b {
		d.found, d.What, d.InA, d.InB = true, what, a, b
	}
}

func (d *differ) json(what string, a, b []byte) {
	if !d.found && !bytes.Equal(a, b) && (len(a) == 0 || len(b) == 0 || !value.SameJSON(a, b)) {
		d.text(what, string(a), string(b))
	}
}

func (d *differ) turn(x, y *history, i int) {
	a, b := x.turns[i], y.turns[i]
	for k := range max(len(a.Answers), len(b.Answers)) {
		p, q := answerAt(x, a, k), answerAt(y, b, k)
		if d.text("answer", p, q); d.found {
			if d.Call = 0; k < len(a.Answers) {
				d.Call = a.Answers[k]
			} else {
				d.Call = b.Answers[k]
			}
			return
		}
	}
	d.calls(a.Calls, b.Calls)
	d.json("data", a.Data, b.Data)
	d.text("end", endOf(a), endOf(b))
}

// calls compares calls as a replay does: the order within a turn does not matter.
func (d *differ) calls(a, b []flawless.Call) {
	rest := slices.Clone(b)
	for _, c := range a {
		if at := slices.IndexFunc(rest, c.Same); at >= 0 {
			rest = slices.Delete(rest, at, at+1)
			continue
		}
		d.Call, d.SiteA = c.N, c.Site()
		other := ""
		if len(rest) > 0 {
			other, d.SiteB = callText(rest[0]), rest[0].Site()
		}
		d.text("call", callText(c), other)
		return
	}
	if len(rest) > 0 {
		d.Call, d.SiteB = rest[0].N, rest[0].Site()
		d.text("call", "", callText(rest[0]))
	}
}

func answerAt(h *history, t *flawless.Turn, k int) string {
	if k >= len(t.Answers) {
		return ""
	}
	a := h.answers[t.Answers[k]]
	return fmt.Sprintf("call %d: %s %s", t.Answers[k], a.Head, a.Body)
}

func callText(c flawless.Call) string { return fmt.Sprintf("%s %s %s", c.Kind, c.Head, c.Body) }

func endOf(t *flawless.Turn) string {
	if t.Ended == nil {
		return ""
	}
	return t.Ended.String()
}
