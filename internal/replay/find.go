package replay

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
)

// around is how many bytes of text a match shows on each side.
const around = 60

// In returns where the turns of a record have what the query looks for: in their log lines, in their calls or in the data that they
// publish. It finds what it is given, so hide first what may not be shown.
func (q *Query) In(rec flawless.Record) (out []flawless.Match) {
	for _, e := range rec.Entries {
		if e.Turn == nil {
			continue
		}
		t := e.Turn
		add := func(what string, call int, site string, value func() any, in ...string) {
			if text, found := q.in(what, value, in); found {
				out = append(out, flawless.Match{Turn: t.N, Time: t.Time, Record: rec.Seq, What: what, Call: call, Site: site, Text: text})
			}
		}
		for _, l := range t.Lines {
			add("line", 0, l.Site, func() any { return lineValue(l) }, l.Text, string(l.Fields))
		}
		for _, c := range t.Calls {
			add("call", c.N, c.Site(), func() any { return callValue(c) }, c.Kind+" "+string(c.Head), string(c.Body))
		}
		if t.Data != nil {
			add("data", 0, "", func() any { v, _ := decoded(t.Data); return v }, string(t.Data))
		}
	}
	return out
}

// in looks into one thing, of which value is what conditions see, and texts what they do not.
func (q *Query) in(what string, value func() any, texts []string) (string, bool) {
	if q.root != "" {
		if q.root != what {
			return "", false
		}
		text, met := q.met(value())
		return excerpt(text, 0, min(len(text), around)), met
	}
	for _, s := range texts {
		if at := strings.Index(s, q.text); at >= 0 {
			return excerpt(s, at, len(q.text)), true
		}
	}
	return "", false
}

func lineValue(l flawless.Line) any {
	v := map[string]any{"level": l.Level, "text": l.Text, "at": l.Site}
	if fields, ok := decoded(l.Fields); ok {
		v["fields"] = fields
	}
	return v
}

func callValue(c flawless.Call) any {
	v := map[string]any{"n": json.Number(strconv.Itoa(c.N)), "kind": c.Kind, "at": c.Site(), "body": string(c.Body)}
	if head, ok := decoded(c.Head); ok {
		v["head"] = head
	}
	if body, ok := decoded(c.Body); ok {
		v["body"] = body
	}
	return v
}

// excerpt returns a part of a text and what is around it.
func excerpt(s string, at, n int) string {
	from, to := max(0, at-around), min(len(s), at+n+around)
	for from > 0 && !utf8.RuneStart(s[from]) {
		from--
	}
	for to < len(s) && !utf8.RuneStart(s[to]) {
		to++
	}
	out := strings.ToValidUTF8(s[from:to], "\uFFFD")
	if from > 0 {
		out = "…" + out
	}
	if to < len(s) {
		out += "…"
	}
	return out
}
