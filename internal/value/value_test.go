package value

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestParseRejectsAmbiguousValues(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, text, field, message string }{
		{"a member twice", `{"a":[{"b":1,"c":2,"b":1}]}`, "a.0", `member "b" appears twice`},
		{"a member twice, once escaped", `{"ab":1,"a\u0062":1}`, "", `member "ab" appears twice`},
		{"too large a number", `{"a":[0,1e309]}`, "a.1", "too large"},
		{"too small a number", `-1e309`, "", "too large"},
		{"a number that becomes zero", `1e-400`, "", "too close to zero"},
		{"an exponent without end", `1e-9999999999999`, "", "too close to zero"},
		{"a number of many digits", strings.Repeat("1", 2000), "", "2000 digits"},
		{"a number with as many zeros as its exponent", "1" + strings.Repeat("0", 2000) + "e-2000", "", "digits"},
		{"the largest float64 with three more zeros", `17976931348623157000e289`, "", "too close to the limit of a 64-bit floating-point number"},
		{"the largest float64 in digits", `[` + new(big.Float).SetFloat64(math.MaxFloat64).Text('f', 0) + `]`, "0", "send a smaller number, the limit itself as 1.7976931348623157e308, or a string"},
		{"a number that is rounded to the largest float64", `{"a":-1.7976931348623158e308}`, "a", "the number -1.7976931348623158e308 is too close"},
		{"a number as a name, escaped", `{"a":[{"b":1,"\u0031":1}]}`, "a.0", `member "1" is written with an escape`},
		{"a negative number as a name, escaped", `{"\u002d1":1}`, "", `member "-1" is written with an escape`},
		{"a fraction as a name, escaped", `{"1\u002e5":1}`, "", `member "1.5" is written with an escape`},
		{"a boolean as a name, escaped", `{"tru\u0065":1}`, "", `member "true" is written with an escape`},
		{"a member that serde_json takes for JSON text", `[{"$serde_json::private::RawValue":"x"}]`, "0", "serde_json reserves"},
		{"the first half of a pair", `["\ud83d"]`, "", `the escape \ud83d at byte`},
		{"the second half of a pair", `["\\\ude00"]`, "", `the escape \ude00 at byte`},
		{"two first halves", `["\ud83d\ud83d\ude00"]`, "", "at byte 2"},
		{"a half and a letter", `["\ud83d\u0041"]`, "", "surrogate"},
		{"half a pair in a name", `{"\ud83d":1}`, "", "surrogate"},
		{"deep nesting", strings.Repeat(`{"a":[`, 64) + strings.Repeat("]}", 64), "", "127 levels"},
		{"Latin-1", "\"\xe4\"", "", "UTF-8"},
	} {
		_, err := Parse([]byte(row.text))
		f := new(Fault)
		if !errors.As(err, &f) || f.Field != row.field || !strings.Contains(f.Message, row.message) {
			t.Errorf("%s: %v, want %q at %q", row.name, err, row.message, row.field)
		}
	}
	for _, text := range []string{"", "{", `{"a":1} 2`, "tru", strings.Repeat("[", 1e6)} {
		if _, err := Parse([]byte(text)); err == nil || errors.As(err, new(*Fault)) || !strings.Contains(err.Error(), "not valid JSON") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestParseMatchesEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		` {"a" : [ 1, -0, 0e999999999, 1.50, 1e308, null, true, {} , [ ] ] , "" : "\u00e4\\u\ud83d\ude00\/" } `,
		`{"a":1,"A":2}`, `{"\u00e9":1,"\u0061":1,"-\/":1,"\u0020 1":1,"1\u0020":1,"+\u0031":1,"1":"\u0031","true":"\u0074rue"}`,
		`[1.7976931348623157e308,-1.7976931348623157e+308,17976931348623157e292,1.797693134862315e308,18446744073709551616.5]`, `123456789012345678901234567890`, `"\\ud83d"`, strings.Repeat("[", 127) + strings.Repeat("]", 127), `0.` + strings.Repeat("0", 300) + "1",
	} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		got, err := Parse([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %v, %v; want %v", text, got, err, want)
		}
	}
}

// TestRulesAreStricterThanJSONSchema has values that JSON Schema alone would accept.
func TestRulesAreStricterThanJSONSchema(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		schema       string
		takes, fails []string
	}{
		{`{"type":"integer"}`, []string{`1`, `-1`, `123456789012345678901234567890`}, []string{`1.0`, `1e2`, `-0`, `1E0`}},
		{`{"type":["integer","null"]}`, []string{`null`, `0`}, []string{`1.0`}},
		{`{"type":["integer","number"]}`, []string{`1.0`, `1e2`}, nil},
		{`{"type":"number","minimum":0}`, []string{`1.0`, `0e999999999`}, []string{`1e999999999`, `1e-999999999`}}, // the last two have no exact form
		{`{"properties":{"a":{},"B":{},"ſ":{}}}`, []string{`{"a":1,"B":1}`, `{"c":1}`}, []string{`{"A":1}`, `{"a":1,"A":1}`, `{"b":1}`, `{"S":1}`}},
		{`{"properties":{"a":{},"A":{}}}`, []string{`{"a":1,"A":1}`}, nil},
		{`{"properties":{"a":{}},"additionalProperties":{"type":"integer"}}`, []string{`{"A":1}`}, []string{`{"A":1.0}`}},
		{`{"properties":{"a":{}},"patternProperties":{"^A$":{}}}`, []string{`{"A":1}`}, nil},
		{`{"$ref":"#/$defs/d","$defs":{"d":{"items":{"properties":{"a":{"type":"integer"}}}}}}`, []string{`[{"a":1}]`}, []string{`[{"A":1}]`, `[{"a":1.0}]`}},
		{`{"type":"integer","format":"int64"}`, []string{`9223372036854775807`}, []string{`9223372036854775808`}},
		{`{"type":"integer","format":"uint8"}`, []string{`0`, `255`}, []string{`-1`, `256`}},
		{`{"type":"integer","format":"uint"}`, []string{`4294967295`}, []string{`4294967296`}},
		{`{"type":"integer","format":"int128"}`, []string{`-170141183460469231731687303715884105728`}, []string{`170141183460469231731687303715884105728`}},
		{`{"propertyNames":{"format":"int8"}}`, []string{`{"-128":1}`}, []string{`{"128":1}`, `{"a":1}`}},
		{`{"type":"number","format":"float"}`, []string{`3.4028235e38`}, []string{`3.5e38`}},
		{`{"propertyNames":{"format":"float"}}`, []string{`{"1.5":1,"-0":1,"1e2":1}`}, []string{`{"3.5e38":1}`, `{"a":1}`, `{"1.5 ":1}`, `{"NaN":1}`}},
		{`{"propertyNames":{"format":"double"}}`, []string{`{"3.5e38":1,"1.7976931348623157e308":1}`}, []string{`{"1e309":1}`, `{"1.7976931348623158e308":1}`, `{"+1":1}`, `{"0x1":1}`, `{"":1}`}},
		{`{"type":"number","format":"double"}`, []string{`1.7976931348623157e308`, `0`}, []string{`"1"`}},
		{`{"format":"date-time"}`, []string{`"2026-01-31T13:45:00.5+01:00"`, `7`}, []string{`"2026-12-31T23:59:60Z"`, `"now"`}},
		{`{"format":"uuid"}`, []string{`"0190163d-8694-739b-aea5-966c26f8ad91"`}, []string{`"0190163d"`}},
		{`{"contentEncoding":"base64"}`, []string{`"YQ=="`}, []string{`"YQ"`}},
		{`{"contentMediaType":"application/json"}`, []string{`"{}"`}, []string{`"{"`, `"{\"a\":1,\"a\":1}"`}},
		{`{"contentMediaType":"application/json","contentSchema":{"type":"integer"}}`, []string{`"1"`}, []string{`"1.0"`, `"1e999999999"`, `"x"`}},
	} {
		c := jsonschema.NewCompiler()
		Rules(c)
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(row.schema))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("urn:schema", doc); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile("urn:schema")
		if err != nil {
			t.Fatal(row.schema, err)
		}
		for takes, texts := range map[bool][]string{true: row.takes, false: row.fails} {
			for _, text := range texts {
				v, err := Parse([]byte(text))
				if err == nil {
					err = s.Validate(v)
				}
				if takes != (err == nil) {
					t.Errorf("%s of %s: %v", text, row.schema, err)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5e+3,true,null],"b":"\ud83d\ude00\\"}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte("\"\xff\\ud800\""))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := Parse(text)
		if err != nil {
			if !errors.As(err, new(*Fault)) && json.Valid(text) {
				t.Fatalf("%q is JSON: %v", text, err)
			}
			return
		}
		var plain any // every number is a float64 here
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Fatalf("encoding/json does not read %q: %v", text, err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(again) || strings.Contains(string(again), "\ufffd") && !strings.Contains(string(text), "\ufffd") && !strings.Contains(strings.ToLower(string(text)), `\ufffd`) {
			t.Fatalf("%q was changed to %q", text, again)
		}
	})
}

func TestSameJSON(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[2]}`, `{ "b": [2], "a": 1.0 }`, true},
		{`1e2`, `100`, true},
		{`0`, `-0.0`, true},
		{`{"id":1234567890123456789}`, `{"id":1234567890123456788}`, false},
		{`9007199254740993`, `9007199254740992`, false},
		{`0.1`, `0.10000000000000001`, false},
		{`1e-999999999`, `0`, false},
		{`1e-999999999`, `2e-999999999`, false},
		{`1e999999999`, `1e999999998`, false},
		{`null`, `0`, false},
		{`"1"`, `1`, false},
		{`[1]`, `{"0":1}`, false},
		{`oops`, `oops`, true},
		{`oops`, `[]`, false},
	} {
		if got := SameJSON([]byte(row.a), []byte(row.b)); got != row.same {
			t.Errorf("%s and %s are the same: %v", row.a, row.b, got)
		}
	}
}
