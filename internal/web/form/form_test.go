package form

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

const orderSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["id","cents","gift","size"],"properties":{
"id":{"type":"string"},"cents":{"type":"integer","minimum":0},"gift":{"type":"boolean"},"size":{"enum":["s","m",3]},
"tags":{"type":"array","items":{"type":"string"}},"to":{"$ref":"#/$defs/Address"},"more":{"type":"object","additionalProperties":{"type":"string"}},
"note":{"anyOf":[{"type":"string"},{"type":"null"}]}},
"$defs":{"Address":{"type":"object","required":["city"],"properties":{"city":{"type":"string"},"next":{"$ref":"#/$defs/Address"}}}}}`

func TestFieldsFollowTheSchema(t *testing.T) {
	t.Parallel()
	f := Of("in", []byte(orderSchema))
	var got []string
	var walk func(f *Field)
	walk = func(f *Field) {
		got = append(got, fmt.Sprintf("%s %s %v", f.Name, f.Kind, f.Required))
		for _, m := range f.Fields {
			if !strings.Contains(f.Name, "/to") {
				walk(m)
			}
		}
	}
	walk(f)
	want := "in group true|in/id text true|in/cents number true|in/gift flag true|in/size choice true|in/tags list false|in/to group false|in/more json false|in/note text false"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("the fields are\n%s, want\n%s", s, want)
	}
	if n := f.Fields[7]; n.Name != "in/note" || !n.Null {
		t.Errorf("the field for a text or null is %+v", n)
	}
	if m := f.Fields[6]; !strings.Contains(m.Schema, "additionalProperties") {
		t.Errorf("the field for JSON has no schema: %+v", m)
	}
}

func TestReadMakesJSON(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ what, schema, filled, want string }{
		{"all members", orderSchema, "in/id=o-1&in/cents=9223372036854775808&in/gift=true&in/size=3&in/tags=a%0D%0Ab&in/to/city=Oslo&in/note=x",
			`{"id":"o-1","cents":9223372036854775808,"gift":true,"size":3,"tags":["a","b"],"to":{"city":"Oslo"},"note":"x"}`},
		{"only what is required", orderSchema, "in/id=&in/cents=1&in/size=%22s%22", `{"id":"","cents":1,"gift":false,"size":"s"}`},
		{"no number", orderSchema, "in/id=a&in/cents=1e&in/size=%22s%22", "in/cents: is not a number"},
		{"no choice", orderSchema, "in/id=a&in/cents=1&in/size=xl", "in/size: is none of the choices"},
		{"a line that is no number", `{"type":"array","items":{"type":"integer"}}`, "in=1%0Ax", `in: has the line "x", which is not a number`},
		{"broken JSON", `{}`, "in={", "in: is not JSON: unexpected end of JSON input"},
		{"JSON instead of fields", orderSchema, "in/id=a&in.json=%7B%22id%22:%22b%22%7D", `{"id":"b"}`},
		{"broken JSON instead of fields", orderSchema, "in.json=%7B", "in: is not JSON: unexpected end of JSON input"},
		{"nothing", ``, "", ``},
		{"a text alone", `{"type":"string"}`, "in=%3Cb%3E%26%22", `"<b>&\""`},
		{"null", `{"type":["integer","null"]}`, "in=", "null"},
		{"a list of nothing", `{"type":"array","items":{"type":"string"}}`, "in=", "[]"},
		{"lines in a text", `{"type":"string"}`, "in=a%0D%0Ab", `"a\nb"`},
	} {
		f := Of("in", []byte(row.schema))
		values, err := url.ParseQuery(row.filled)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := f.Read(values)
		text := string(got)
		if !ok {
			text = problems(f)
		}
		if text != row.want {
			t.Errorf("%s: %s, want %s", row.what, text, row.want)
		}
		if ok && len(got) > 0 && !json.Valid(got) {
			t.Errorf("%s: %s is not JSON", row.what, got)
		}
	}
}

// TestDefaultsAreReadBack checks that a form that is sent as it was shown gives the defaults of its schema, in their types.
func TestDefaultsAreReadBack(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"anyOf":[{"type":"string"},{"type":"null"}],"default":null}`:  `null`,
		`{"type":["integer","null"],"default":null}`:                    `null`,
		`{"type":["boolean","null"],"default":true}`:                    `true`,
		`{"type":"string","default":"null"}`:                            `"null"`,
		`{"type":"integer","default":12345678901234567890}`:             `12345678901234567890`,
		`{"enum":["3",3],"default":"3"}`:                                `"3"`,
		`{"enum":["3",3],"default":3}`:                                  `3`,
		`{"enum":["s","m"],"default":"m"}`:                              `"m"`,
		`{"default":"some text"}`:                                       `"some text"`,
		`{"type":"object","default":{"a":"<b>"}}`:                       `{"a":"\u003cb\u003e"}`,
		`{"oneOf":[{"type":"string"},{"type":"number"}],"default":"x"}`: `"x"`,
	} {
		f := Of("in", []byte(schema))
		got, ok := f.Read(url.Values{"in": {f.Value}})
		if !ok || string(got) != want {
			t.Errorf("%s: %s%s, want %s", schema, got, f.Problem, want)
		}
	}
}

func problems(f *Field) string {
	out := ""
	if f.Problem != "" {
		out = f.Name + ": " + f.Problem
	}
	for _, m := range f.Fields {
		out += problems(m)
	}
	return out
}

func TestBlameFindsTheField(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		path, want string
		ok         bool
	}{
		{"cents", "in/cents: too few", true}, {"to.city", "in/to/city: too few", true}, {"tags.1", "in/tags: 1: too few", true},
		{"", "", false}, {"nowhere", "", false},
	} {
		f := Of("in", []byte(orderSchema))
		if ok := f.Blame(row.path, "too few"); ok != row.ok || problems(f) != row.want {
			t.Errorf("%s: %v, %s, want %s", row.path, ok, problems(f), row.want)
		}
	}
}

// TestSchemasThatReferToThemselvesEnd checks that no schema makes a form of unlimited size.
func TestSchemasThatReferToThemselvesEnd(t *testing.T) {
	t.Parallel()
	var wide strings.Builder
	for i := range 60 {
		fmt.Fprintf(&wide, `,"m%d":{"$ref":"#"}`, i)
	}
	for _, schema := range []string{
		`{"$ref":"#"}`, `{"type":"array","items":{"$ref":"#"}}`, `{"type":"object","properties":{"next":{"$ref":"#"}` + wide.String() + `}}`,
		`{"anyOf":[{"$ref":"#"},{"type":"null"}]}`, `{"allOf":[{"$ref":"#"}]}`, `{"$ref":"#/$defs/none"}`, `{"$ref":"http://elsewhere.example"}`,
		`{"type":7,"properties":[],"items":"x","enum":{}}`, `[]`, `{`,
	} {
		f := Of("in", []byte(schema))
		n := 0
		var count func(f *Field)
		count = func(f *Field) {
			n++
			for _, m := range f.Fields {
				count(m)
			}
		}
		if count(f); n > 2*maxFields {
			t.Errorf("%.40s has %d fields", schema, n)
		}
	}
}

func TestShellQuotes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"a-b/c.d": "a-b/c.d", "": "''", `{"a":1}`: `'{"a":1}'`, "it's": `'it'\''s'`, "$(rm)": `'$(rm)'`, "a\u202eb": `'a\u202eb'`, "é 🚀": `'é 🚀'`} {
		if got := Quote(in); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}

func TestSpansAreReadBack(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "30s": 30 * time.Second, "1500ms": 1500 * time.Millisecond} {
		got, err := ParseSpan(text)
		if err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
		if again, err := ParseSpan(Span(got)); err != nil || again != want {
			t.Errorf("%v is shown as %s", got, Span(got))
		}
	}
	for _, text := range []string{"", "x", "-1h", "-1d", "d", "1", "9999999d"} {
		if d, err := ParseSpan(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
}

// TestManyMembersAreJSON: a form with thousands of fields helps nobody.
func TestManyMembersAreJSON(t *testing.T) {
	t.Parallel()
	schema := func(n int) []byte {
		var b strings.Builder
		b.WriteString(`{"type":"object","properties":{`)
		for k := range n {
			fmt.Fprintf(&b, `"m%d":{"type":"string"},`, k)
		}
		return []byte(strings.TrimSuffix(b.String(), ",") + "}}")
	}
	if f := Of("input", schema(100)); f.Kind != Group || len(f.Fields) != 100 {
		t.Errorf("an object with 100 members is a field of kind %s with %d fields", f.Kind, len(f.Fields))
	}
	if f := Of("input", schema(5000)); f.Kind != JSON || len(f.Fields) != 0 {
		t.Errorf("an object with 5,000 members is a field of kind %s with %d fields", f.Kind, len(f.Fields))
	}
}
