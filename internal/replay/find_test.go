package replay

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
)

func TestFindNamesTurnsAndCalls(t *testing.T) {
	t.Parallel()
	rec := flawless.Record{Seq: 9, Entries: []flawless.Entry{
		{Start: &flawless.Start{Input: []byte(`"needle"`)}},
		{Turn: &flawless.Turn{
			N: 4, Time: 7, Data: []byte(`{"state":"needle"}`),
			Lines: []flawless.Line{{Text: "a needle", Site: "a/b.go:1"}, {Text: "hay", Fields: []byte(`{"k":"needle"}`)}, {Text: "hay"}},
			Calls: []flawless.Call{
				{N: 5, Kind: "http", Head: []byte(`{"url":"http://needle/","at":"a/b.go:2"}`), Body: []byte("needle")},
				{N: 6, Kind: "http", Body: []byte(strings.Repeat("é", 100) + "needle" + strings.Repeat("é", 100))},
				{N: 7, Kind: "sleep"},
			},
		}},
	}}
	match := func(what string, call int, site, text string) flawless.Match {
		return flawless.Match{Turn: 4, Time: 7, Record: 9, What: what, Call: call, Site: site, Text: text}
	}
	want := []flawless.Match{
		match("line", 0, "a/b.go:1", "a needle"),
		match("line", 0, "", `{"k":"needle"}`),
		match("call", 5, "a/b.go:2", `http {"url":"http://needle/","at":"a/b.go:2"}`),
		match("call", 6, "", "…"+strings.Repeat("é", 30)+"needle"+strings.Repeat("é", 30)+"…"),
		match("data", 0, "", `{"state":"needle"}`),
	}
	if d := cmp.Diff(want, Find(rec, "needle")); d != "" {
		t.Error(d)
	}
	if found := Find(rec, "Needle"); found != nil {
		t.Errorf("in another case: %+v", found)
	}
}
