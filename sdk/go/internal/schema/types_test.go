package schema

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/types.txt")

// onlyWrites has a method to write JSON and none to read it, onlyWritesText one to write text.
type (
	onlyWrites     struct{ A int8 }
	onlyWritesText int8
	code           int16
)

func (o onlyWrites) MarshalJSON() ([]byte, error)     { return json.Marshal(fmt.Sprint(o.A)) }
func (o onlyWritesText) MarshalText() ([]byte, error) { return []byte("low"), nil }

type part struct {
	N int8 `json:"n"`
}

type payment struct {
	Amount  int64              `json:"amount"`
	Note    string             `json:"note,omitempty"`
	Due     time.Time          `json:"due,omitzero"`
	Rate    float32            `json:"rate,omitempty"`
	Bytes   []byte             `json:"bytes,omitempty"`
	Parts   []part             `json:"parts,omitempty"`
	Next    *payment           `json:"next,omitempty"`
	Cents   uint8              `json:"cents,omitempty,string"`
	Maybe   *int32             `json:"maybe,omitempty,string"`
	Said    string             `json:"said,omitempty,string"`
	Sure    bool               `json:"sure,omitempty,string"`
	Share   float64            `json:"share,omitempty,string"`
	Number  json.Number        `json:"number,omitempty"`
	Any     any                `json:"any,omitempty"`
	Raw     json.RawMessage    `json:"raw,omitempty"`
	Writer  fmt.Stringer       `json:"writer,omitempty"`
	ByName  map[string]int8    `json:"byName,omitempty"`
	ByCode  map[code]bool      `json:"byCode,omitempty"`
	ByBits  map[uint8]bool     `json:"byBits,omitempty"`
	ByTime  map[time.Time]int8 `json:"byTime,omitempty"`
	OneWay  onlyWrites         `json:"oneWay,omitzero"`
	OneText onlyWritesText     `json:"oneText,omitempty"`
	*sealed
}

type sealed struct {
	Hidden int `json:"hidden,omitempty"`
}

// pair is read from shorter and longer arrays, too.
type pair struct {
	A [2]int8 `json:"a"`
}

func pointer[T any](v T) *T { return &v }

// samples are a few values of each type.
var samples = [][]any{
	{false, true}, {"", "a b", "\"", "Ä\u2028"},
	{int8(0), int8(-128), int8(127)}, {int16(math.MinInt16)}, {int32(math.MaxInt32)}, {int64(math.MinInt64), int64(math.MaxInt64)}, {0, -1},
	{uint8(0), uint8(255)}, {uint16(math.MaxUint16)}, {uint32(math.MaxUint32)}, {uint64(math.MaxUint64)}, {uint(1)}, {uintptr(1)},
	{float32(0), float32(math.MaxFloat32), float32(-math.MaxFloat32), float32(math.SmallestNonzeroFloat32), float32(1e20)},
	{0.0, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1.5, 1e21},
	{json.Number("7"), json.Number("1e300")}, {json.RawMessage(`{"a":[1.0]}`)}, {time.Minute},
	{time.Time{}, time.Date(2026, 1, 31, 13, 45, 0, 123456789, time.FixedZone("", 3600))},
	{[]byte(nil), []byte{}, []byte("\x00\xff\xfe")}, {[]int8(nil), []int8{1, 2}}, {[2]bool{true, false}}, {[]any{nil, 1.0, "a", map[string]any{"a": true}}},
	{map[string]int8(nil), map[string]int8{"a": 1, "A": 2}}, {map[int8]string{-128: "", 127: ""}}, {map[uint64]string{0: "", math.MaxUint64: ""}},
	{map[time.Time]int8{{}: 1}}, {(*int8)(nil), pointer(int8(7))}, {pointer(pointer(int8(7)))}, {pair{}},
	{payment{}, payment{Amount: 1, Note: "a", Due: time.Unix(0, 0).UTC(), Rate: 1e-40, Bytes: []byte("a"), Parts: []part{{N: 1}}, Next: &payment{}, Cents: 255,
		Maybe: pointer(int32(-1)), Said: "a \" b", Sure: true, Share: 1e300, Number: "1.5", Any: map[string]any{"Amount": 1}, Raw: json.RawMessage("[1e2]"),
		ByName: map[string]int8{"Amount": 1}, ByCode: map[code]bool{-1: true}, ByBits: map[uint8]bool{255: true}, ByTime: map[time.Time]int8{{}: 1}}},
	{map[string]*payment{"Amount": nil}},
}

// texts are values that some of the types can read and others cannot.
var texts = []string{
	`null`, `true`, `"true"`, `""`, `"a"`, `[]`, `{}`, `[1,2]`, `[1,2,3]`, `["a"]`, `[null]`, `{"a":1}`, `{"a":"x"}`, `{"300":""}`, `{"-1":""}`, `{"-0":""}`, `{"1.0":""}`, `{"":""}`,
	`0`, `-0`, `1`, `1.0`, `1e2`, `1E0`, `-1`, `0.5`, `-1e-7`, `127`, `128`, `-129`, `255`, `256`, `65536`, `2147483648`, `4294967296`, `9223372036854775808`, `-9223372036854775809`,
	`18446744073709551616`, `1e39`, `-3.5e38`, `3.4028235e38`, `3.40282356e38`, `1e308`, `1e309`, `-1e309`, `1e-400`, `1e999999999`, `1e-999999999`, `0e999999999`, `[1e309]`, `{"a":1e309}`,
	`"2026-01-31T13:45:00Z"`, `"2026-01-31t13:45:00z"`, `"2026-01-31 13:45:00Z"`, `"2026-01-31"`, `"2026-02-30T00:00:00Z"`, `"2026-12-31T23:59:60Z"`, `"2026-01-31T13:45:00+0100"`,
	`"2026-01-31T24:00:00Z"`, `"2026-01-31T13:45:00,5Z"`, `"12026-01-31T13:45:00Z"`, `"5m"`, `"PT5M"`, `{"2026-01-31T13:45:00Z":1}`, `{"2026-12-31T23:59:60Z":1}`,
	`"YQ=="`, `"YQ"`, `"-_=="`, `"YQ==\n"`, `"not base64!"`,
	`{"amount":1}`, `{"amount":1.0}`, `{"amount":1e2}`, `{"amount":"1"}`, `{"amount":null}`, `{"Amount":1}`, `{"AMOUNT":"x"}`,
	`{"amount":1,"Amount":"x"}`, `{"Amount":"x","amount":1}`, `{"amount":"x","amount":1}`, `{"amount":1,"amount":2}`, `{"amount":1,"more":"x"}`,
	`{"amount":1,"note":1}`, `{"amount":1,"NOTE":1}`, `{"amount":1,"nOte":"a"}`, `{"amount":1,"byteſ":1}`, `{"amount":1,"ra\u0074e":1e39}`, `{"amount":1,"due":"tomorrow"}`, `{"amount":1,"bytes":"%"}`,
	`{"amount":1,"parts":[{"n":1.0}]}`, `{"amount":1,"parts":[{"n":1,"N":"x"}]}`, `{"amount":1,"parts":[{"n":1},{"n":300}]}`, `{"amount":1,"next":{"amount":1.5}}`,
	`{"amount":1,"next":{"amount":1,"Next":{"amount":"x"}}}`, `{"amount":1,"cents":"300"}`, `{"amount":1,"cents":1}`, `{"amount":1,"cents":"1.0"}`, `{"amount":1,"cents":"-0"}`,
	`{"amount":1,"cents":" 1"}`, `{"amount":1,"cents":"1 "}`, `{"amount":1,"cents":"a"}`, `{"amount":1,"cents":""}`, `{"amount":1,"maybe":null}`, `{"amount":1,"maybe":"2147483648"}`,
	`{"amount":1,"said":"a"}`, `{"amount":1,"said":"\"a\" "}`, `{"amount":1,"said":"1"}`, `{"amount":1,"sure":"yes"}`, `{"amount":1,"sure":"true "}`, `{"amount":1,"share":"1e309"}`,
	`{"amount":1,"share":"1e999999999"}`, `{"amount":1,"share":"x"}`, `{"amount":1,"number":"x"}`, `{"amount":1,"number":1e400}`, `{"amount":1,"any":[{"a":1e309}]}`, `{"amount":1,"any":{"a":1,"A":2}}`,
	`{"amount":1,"writer":{}}`, `{"amount":1,"writer":1}`, `{"amount":1,"byName":{"a":1,"A":200}}`, `{"amount":1,"byCode":{"40000":true}}`, `{"amount":1,"byCode":{"+1":true}}`,
	`{"amount":1,"byBits":{"-1":true}}`, `{"amount":1,"byBits":{"256":true}}`, `{"amount":1,"byTime":{"now":1}}`, `{"amount":1,"oneWay":"1"}`, `{"amount":1,"oneWay":{"A":300}}`, `{"amount":1,"oneText":"low"}`,
	`{"amount":1,"hidden":1}`, `{"amount":1,"HIDDEN":null}`, `{"a":[1]}`, `{"a":[1,2.0]}`,
}

// TestSchemasMatchEncodingJSON compares testdata/types.txt with the current facts about each type: its schema, the
// JSON of a few values, and which texts encoding/json cannot read into it. A test in internal/value, which has the
// engine's checks but not the types, reads the same file: each schema must accept what is written and reject what
// cannot be read.
func TestSchemasMatchEncodingJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for i, text := range texts {
		fmt.Fprintf(&b, "text %d %s\n", i, text)
	}
	for _, of := range samples {
		typ := reflect.TypeOf(of[0])
		schema, err := Of(typ, true)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "type %s\nschema %s\n", typ, schema)
		for _, v := range of {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, reflect.New(typ).Interface()); err != nil {
				t.Errorf("%s does not read what it writes: %v", typ, err)
			}
			fmt.Fprintf(&b, "writes %s\n", text)
		}
		b.WriteString("fails")
		for i, text := range texts {
			if err := json.Unmarshal([]byte(text), reflect.New(typ).Interface()); err != nil {
				fmt.Fprintf(&b, " %d", i)
			}
		}
		b.WriteByte('\n')
	}
	const file = "testdata/types.txt"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, was := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(got), len(was)) {
		if got[i] != was[i] {
			t.Fatalf("line %d of %s differs; go test -run %s -update rewrites it\n got %s\nwant %s", i+1, file, t.Name(), got[i], was[i])
		}
	}
	if len(got) != len(was) {
		t.Errorf("%s has %d lines, not %d", file, len(was), len(got))
	}
}

// TestReadAndWriteSchemasDiffer has types with a method for reading or for writing only.
func TestReadAndWriteSchemasDiffer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		of            reflect.Type
		reads, writes string
	}{
		{reflect.TypeFor[onlyWrites](), `,"type":"object","properties":{"A":{"type":"integer","minimum":-128,"maximum":127}},"required":["A"],"additionalProperties":true}`, `}`},
		{reflect.TypeFor[onlyWritesText](), `,"type":"integer","minimum":-128,"maximum":127}`, `,"type":"string"}`},
		{reflect.TypeFor[fmt.Stringer](), `,"type":"null"}`, `}`},
		{reflect.TypeFor[netip.Addr](), `,"type":"string"}`, `,"type":"string"}`},
	} {
		reads, err := Of(row.of, true)
		writes, err2 := Of(row.of, false)
		if err != nil || err2 != nil || string(reads) != head+row.reads || string(writes) != head+row.writes {
			t.Errorf("%s: %v, %v\nreads  %s\nwrites %s", row.of, err, err2, reads, writes)
		}
	}
}
