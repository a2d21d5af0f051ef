package replay

import (
	"errors"
	"strconv"
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
	if d := cmp.Diff(want, found(t, rec, "needle")); d != "" {
		t.Error(d)
	}
	if found := found(t, rec, "Needle"); found != nil {
		t.Errorf("in another case: %+v", found)
	}
}

func found(t *testing.T, rec flawless.Record, text string) []flawless.Match {
	t.Helper()
	q, err := ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return q.In(rec)
}

// TestConditionsFindValues looks for values of data, calls and lines by their paths.
func TestConditionsFindValues(t *testing.T) {
	t.Parallel()
	rec := flawless.Record{Entries: []flawless.Entry{{Turn: &flawless.Turn{
		N:     1,
		Data:  []byte(`{"step":"paid","n":10,"big":9007199254740993,"list":[{"ok":true}],"a b":null,"paid":{"x":1}}`),
		Lines: []flawless.Line{{Level: "error", Text: "card refused", Fields: []byte(`{"user":7}`), Site: "a/b.go:3"}, {Level: "info", Text: "ok"}},
		Calls: []flawless.Call{
			{N: 5, Kind: "http", Head: []byte(`{"url":"http://pay/","at":"a/b.go:2"}`), Body: []byte(`{"amount":12.5}`)},
			{N: 6, Kind: "sleep", Head: []byte(`{"until":9}`), Body: []byte("no JSON")},
		},
	}}}}
	for text, want := range map[string]string{
		`data.step == "paid"`:             `data "paid"`,
		`  data.step=="paid" `:            `data "paid"`,
		`data.step != "new"`:              `data "paid"`,
		`data.n != "10"`:                  `data 10`,
		`data.step != "paid"`:             ``,
		`data.gone != "paid"`:             ``,
		`data.step ~ ^pa`:                 `data "paid"`,
		`data.step ~ "^pa.d$"`:            `data "paid"`,
		`data.n > 9`:                      `data 10`,
		`data.n > 9.5`:                    `data 10`,
		`data.n < 9`:                      ``,
		`data.n >= 10`:                    `data 10`,
		`data.n <= 1e1`:                   `data 10`,
		`data.n == "10"`:                  ``,
		`data.big == 9007199254740993`:    `data 9007199254740993`,
		`data.big == 9007199254740992`:    ``,
		`data.list[0].ok == true`:         `data true`,
		`data.list[1].ok == true`:         ``,
		`data["a b"] == null`:             `data null`,
		`data.paid == {"x": 1}`:           `data {"x":1}`,
		`call.kind == "http"`:             `call 5 "http"`,
		`call.n >= 5`:                     `call 5 5,call 6 6`,
		`call.body.amount > 12`:           `call 5 12.5`,
		`call.body == "no JSON"`:          `call 6 "no JSON"`,
		`call.head.url ~ pay`:             `call 5 "http://pay/"`,
		`call.at == "a/b.go:2"`:           `call 5 "a/b.go:2"`,
		`line.level == "error"`:           `line "error"`,
		`line.fields.user == 7`:           `line 7`,
		`line.text ~ refused`:             `line "card refused"`,
		`data.step`:                       ``, // a text
		`refused`:                         `line card refused`,
		`line.text.deeper == "no object"`: ``,
	} {
		var got []string
		for _, m := range found(t, rec, text) {
			s := m.What + " "
			if m.Call > 0 {
				s += strconv.Itoa(m.Call) + " "
			}
			got = append(got, s+m.Text)
		}
		if s := strings.Join(got, ","); s != want {
			t.Errorf("%s: found %s, want %s", text, s, want)
		}
	}
	for _, text := range []string{`data.step == paid`, `data.step == "paid`, `data.n ~ (`, `data[99999999999999999999] == 1`, `data.step == 1 2`} {
		if q, err := ParseQuery(text); !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %+v, %v", text, q, err)
		}
	}
}
