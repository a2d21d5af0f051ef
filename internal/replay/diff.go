package replay

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/value"
)

// Diff compares two logs, see [Engine.Diff]. It reads them turn by turn up to the first difference, and keeps answers that no
// turn has been given yet.
func Diff(a, b iter.Seq2[flawless.Record, error]) (flawless.Difference, error) {
	x, y := newHistory(a), newHistory(b)
	defer x.stop()
	defer y.stop()
	d := &differ{}
	for first := true; !d.found; first = false {
		p, q := x.next(), y.next()
		if x.err != nil || y.err != nil {
			return flawless.Difference{}, cmp.Or(x.err, y.err)
		}
		if first {
			d.text("workflow", x.start.Module+"/"+x.start.Workflow, y.start.Module+"/"+y.start.Workflow)
			d.json("input", x.start.Input, y.start.Input)
		}
		switch {
		case d.found:
		case p != nil && q != nil:
			d.Turn++
			d.turn(x, y, p, q)
			continue
		case p != nil || q != nil:
			d.Turn++
			if err := cmp.Or(x.rest(), y.rest()); err != nil {
				return flawless.Difference{}, err
			}
			d.text("length", x.length(), y.length())
		default:
			d.text("end", x.end, y.end)
		}
		break
	}
	if d.Same = !d.found; d.Same {
		d.Turn = 0
	}
	return d.Difference, nil
}

// history is a log, read turn by turn.
type history struct {
	record  func() (flawless.Record, error, bool)
	stop    func()
	left    []flawless.Entry // of the record that is being read
	start   flawless.Start
	turns   int                     // read so far
	answers map[int]flawless.Answer // given to no turn before the one that was read last
	end     string                  // set by the engine
	err     error
}

func newHistory(log iter.Seq2[flawless.Record, error]) *history {
	h := &history{answers: map[int]flawless.Answer{}}
	h.record, h.stop = iter.Pull2(log)
	return h
}

// next returns the next turn, or nil after the last one or if err is set.
func (h *history) next() *flawless.Turn {
	for {
		for len(h.left) > 0 {
			x := h.left[0]
			h.left = h.left[1:]
			switch {
			case x.Start != nil:
				h.start = *x.Start
			case x.Turn != nil:
				h.turns++
				return x.Turn
			case x.Arrival != nil:
				h.answers[x.Arrival.Call] = x.Arrival.Answer
			case x.End != nil:
				h.end = fmt.Sprintf("%s: %s", x.End.Status, x.End.Failure.Message)
			}
		}
		rec, err, more := h.record()
		if !more || err != nil {
			h.err = err
			return nil
		}
		h.left = rec.Entries
	}
}

// rest reads the other turns, which only count.
func (h *history) rest() error {
	for h.next() != nil {
		clear(h.answers)
	}
	return h.err
}

// given returns an answer that a turn was given, as text.
func (h *history) given(t *flawless.Turn, k int) string {
	if k >= len(t.Answers) {
		return ""
	}
	a := h.answers[t.Answers[k]]
	return fmt.Sprintf("call %d: %s %s", t.Answers[k], a.Head, a.Body)
}

// forget drops the answers that a turn was given.
func (h *history) forget(t *flawless.Turn) {
	for _, call := range t.Answers {
		delete(h.answers, call)
	}
}

func (h *history) length() string {
	s := fmt.Sprintf("%d turns", h.turns)
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

func (d *differ) turn(x, y *history, a, b *flawless.Turn) {
	for k := range max(len(a.Answers), len(b.Answers)) {
		p, q := x.given(a, k), y.given(b, k)
		if d.text("answer", p, q); d.found {
			if d.Call = 0; k < len(a.Answers) {
				d.Call = a.Answers[k]
			} else {
				d.Call = b.Answers[k]
			}
			return
		}
	}
	x.forget(a)
	y.forget(b)
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

func callText(c flawless.Call) string { return fmt.Sprintf("%s %s %s", c.Kind, c.Head, c.Body) }

func endOf(t *flawless.Turn) string {
	if t.Ended == nil {
		return ""
	}
	return t.Ended.String()
}
