package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"github.com/flawless-engine/flawless"
)

// maxShown is how much of a body a comparison shows, in bytes.
const maxShown = 400

// made is a call as a comparison shows it.
type made struct {
	N, Turn                        int
	Kind, Title, Site, Sent, State string
	same                           string // what has to be equal for two calls to be the same
}

// calls is what a comparison needs of a log.
type calls struct {
	list    []made
	answers map[int]string // by call
}

// pair is a row of a comparison. A or B is nil if only the other run made the call.
type pair struct {
	A, B         *made
	InA, InB     string // the answers
	Differs      bool
	Sent, Answer bool // what of it differs, if both made it
	Skipped      int  // rows that are the same and left out before this one
	OnlyA, OnlyB bool
	End          bool // there is no call here, only Skipped or More
	More         int  // rows after this one that are not shown
}

// readCalls reads a log.
func readCalls(log iter.Seq2[flawless.Record, error]) (*calls, error) {
	out := &calls{answers: map[int]string{}}
	for rec, err := range log {
		if err != nil {
			return nil, err
		}
		for _, e := range rec.Entries {
			switch {
			case e.Turn != nil:
				out.turn(*e.Turn)
			case e.Arrival != nil:
				out.answers[e.Arrival.Call] = answerText(e.Arrival.Head, e.Arrival.Body)
			case e.Unknown != nil:
				out.answers[e.Unknown.Call] = "outcome unknown: " + e.Unknown.Reason
			}
		}
	}
	return out, nil
}

// until returns a copy with the calls of the first turns.
func (c *calls) until(turn int) *calls {
	out := &calls{answers: map[int]string{}}
	for _, m := range c.list {
		if m.Turn <= turn {
			out.list = append(out.list, m)
		}
	}
	return out
}

func (c *calls) turn(t flawless.Turn) {
	for _, call := range t.Calls {
		c.add(t.N, call, "")
	}
}

// add adds a call. The ones by which a run learns that it is cancelled are no calls to people.
func (c *calls) add(turn int, call flawless.Call, state string) {
	if call.Kind == "cancelled" {
		return
	}
	var head map[string]any
	_ = json.Unmarshal(call.Head, &head) // an unreadable head has no title
	site, _ := head["at"].(string)
	delete(head, "at") // other code has other lines
	same, _ := json.Marshal(head)
	c.list = append(c.list, made{N: call.N, Turn: turn, Kind: call.Kind, Title: callTitle(call.Kind, head), Site: site, Sent: shorten(maxShown, string(call.Body)), State: state,
		same: call.Kind + string(same) + string(call.Body)})
}

// callTitle says what a call is, as the script does.
func callTitle(kind string, head map[string]any) string {
	text := func(names ...string) string {
		for _, name := range names {
			if s, ok := head[name].(string); ok && s != "" {
				return s
			}
		}
		return ""
	}
	switch kind {
	case "http":
		return text("method") + " " + bareURL(text("url"))
	case "spawn":
		return "start " + strings.TrimPrefix(text("module")+"/"+text("workflow"), "/")
	}
	return strings.TrimSpace(kind + " " + text("name", "type", "run", "to"))
}

// answerText returns an answer in one line.
func answerText(head json.RawMessage, body []byte) string {
	var h struct {
		Status int             `json:"status"`
		Error  json.RawMessage `json:"error"`
	}
	_ = json.Unmarshal(head, &h) // an unreadable head has no status
	text := shorten(maxShown, string(bytes.TrimSpace(body)))
	switch {
	case len(h.Error) > 0 && string(h.Error) != "null":
		return "error " + shorten(maxShown, string(h.Error))
	case h.Status > 0:
		return strings.TrimSpace(fmt.Sprint(h.Status, " ", text))
	case text == "":
		return "answered"
	}
	return text
}

// Limits of a comparison.
const (
	maxAligned = 400 // calls of each run that are aligned by what they are; the others by their order
	nearby     = 2   // rows that are shown before and after a difference
)

// compare aligns the calls of two runs: those at the same place if they are the same, and otherwise those that fit with the
// fewest differences.
func compare(a, b *calls) []pair {
	var all []pair
	i := 0
	for i < len(a.list) && i < len(b.list) && a.list[i].same == b.list[i].same {
		all = append(all, joined(a, b, i, i))
		i++
	}
	all = append(all, aligned(a, b, i)...)
	return cut(shortened(all))
}

// maxRows is how many rows a comparison shows. Two runs with nothing in common may have made thousands of calls.
const maxRows = 500

// cut keeps the first rows.
func cut(all []pair) []pair {
	if len(all) <= maxRows {
		return all
	}
	return append(all[:maxRows:maxRows], pair{End: true, More: len(all) - maxRows})
}

// joined is the row of two calls at indexes of the lists; -1 is none.
func joined(a, b *calls, i, j int) pair {
	p := pair{}
	if i >= 0 {
		p.A, p.InA = &a.list[i], a.answers[a.list[i].N]
	}
	if j >= 0 {
		p.B, p.InB = &b.list[j], b.answers[b.list[j].N]
	}
	p.OnlyA, p.OnlyB = j < 0, i < 0
	if i >= 0 && j >= 0 {
		p.Sent, p.Answer = p.A.same != p.B.same, p.InA != p.InB
	}
	p.Differs = p.OnlyA || p.OnlyB || p.Sent || p.Answer
	return p
}

// aligned pairs the calls from an index on. likeness counts equal calls twice and calls of the same title once.
func aligned(a, b *calls, from int) (out []pair) {
	x, y := a.list[from:], b.list[from:]
	x, y = x[:min(len(x), maxAligned)], y[:min(len(y), maxAligned)]
	best := make([][]int, len(x)+1)
	for i := range best {
		best[i] = make([]int, len(y)+1)
	}
	likeness := func(i, j int) int {
		switch {
		case x[i].same == y[j].same:
			return 2
		case x[i].Title == y[j].Title:
			return 1
		}
		return 0
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if n := likeness(i, j); n > 0 {
				best[i][j] = max(best[i][j], best[i+1][j+1]+n)
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && likeness(i, j) > 0 && best[i][j] == best[i+1][j+1]+likeness(i, j):
			out = append(out, joined(a, b, from+i, from+j))
			i, j = i+1, j+1
		case i < len(x) && (j == len(y) || best[i+1][j] >= best[i][j+1]):
			out = append(out, joined(a, b, from+i, -1))
			i++
		default:
			out = append(out, joined(a, b, -1, from+j))
			j++
		}
	}
	for k := from + maxAligned; k < max(len(a.list), len(b.list)); k++ {
		at := func(n int) int {
			if k < n {
				return k
			}
			return -1
		}
		out = append(out, joined(a, b, at(len(a.list)), at(len(b.list))))
	}
	return out
}

// shortened leaves out rows that are the same on both sides and not near a difference.
func shortened(all []pair) (out []pair) {
	near := make([]bool, len(all))
	for i := range all {
		for k := max(0, i-nearby); all[i].Differs && k <= min(len(all)-1, i+nearby); k++ {
			near[k] = true
		}
	}
	skipped := 0
	for i := range all {
		if !near[i] {
			skipped++
			continue
		}
		all[i].Skipped, skipped = skipped, 0
		out = append(out, all[i])
	}
	if skipped > 0 {
		out = append(out, pair{Skipped: skipped, End: true})
	}
	return out
}
