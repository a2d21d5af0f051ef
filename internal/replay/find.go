package replay

import (
	"strings"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
)

// around is how many bytes of text a match shows on each side.
const around = 60

// Find returns where the turns of a record contain a text: in the data they publish, in their calls or in their log lines. It finds what
// it is given, so hide first what may not be shown.
func Find(rec flawless.Record, text string) (out []flawless.Match) {
	for _, e := range rec.Entries {
		if e.Turn == nil {
			continue
		}
		t := e.Turn
		add := func(what string, call int, site string, in ...string) {
			for _, s := range in {
				if at := strings.Index(s, text); at >= 0 {
					out = append(out, flawless.Match{Turn: t.N, Time: t.Time, Record: rec.Seq, What: what, Call: call, Site: site, Text: excerpt(s, at, len(text))})
					return
				}
			}
		}
		for _, l := range t.Lines {
			add("line", 0, l.Site, l.Text, string(l.Fields))
		}
		for _, c := range t.Calls {
			add("call", c.N, c.Site(), c.Kind+" "+string(c.Head), string(c.Body))
		}
		add("data", 0, "", string(t.Data))
	}
	return out
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
