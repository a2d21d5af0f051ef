package schema

import (
	"encoding/json"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type tree struct {
	Name string  `json:"name"`
	Kids []*tree `json:"kids,omitempty"`
}

type base struct {
	ID    string `json:"id" doc:"who it is"`
	Shown int    `json:"shown"`
}

type other struct {
	Shown int    `json:"shown"`
	Deep  string `json:"deep,omitzero"`
}

type order struct {
	base
	*Extra
	Named     other `json:"named"`
	Again     other `json:"again"`
	_         int
	Dropped   int `json:"-"`
	Untagged  bool
	Quoted    int64 `json:"quoted,string"`
	When      time.Time
	Amount    *uint8            `json:"amount"`
	Raw       json.RawMessage   `json:"raw"`
	Bytes     []byte            `json:"bytes"`
	Pair      [2]float32        `json:"pair"`
	Labels    map[string]string `json:"labels,omitempty"`
	Counts    map[int]int16     `json:"counts,omitempty"`
	Address   netip.Addr        `json:"address"`
	Number    json.Number       `json:"number"`
	Anything  any               `json:"anything"`
	Anonymous struct{}          `json:"anonymous"`
}

// Extra is promoted through a pointer.
type Extra struct {
	Note string `json:"note"`
}

const head = `{"$schema":"https://json-schema.org/draft/2020-12/schema"`

func TestSchemas(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		of   reflect.Type
		want string
	}{
		{reflect.TypeFor[any](), head + `}`},
		{reflect.TypeFor[string](), head + `,"type":"string"}`},
		{reflect.TypeFor[int64](), head + `,"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}`},
		{reflect.TypeFor[uint64](), head + `,"type":"integer","minimum":0,"maximum":18446744073709551615}`},
		{reflect.TypeFor[int8](), head + `,"type":"integer","minimum":-128,"maximum":127}`},
		{reflect.TypeFor[*bool](), head + `,"anyOf":[{"type":"boolean"},{"type":"null"}]}`},
		{reflect.TypeFor[struct{}](), head + `,"type":"object","properties":{},"additionalProperties":true}`},
		{reflect.TypeFor[[]string](), head + `,"type":["array","null"],"items":{"type":"string"}}`},
		{reflect.TypeFor[tree](), head + `,"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"name":{"type":"string"},` +
			`"kids":{"type":["array","null"],"items":{"anyOf":[{"$ref":"#/$defs/tree"},{"type":"null"}]}}},"required":["name"],"additionalProperties":true}}}`},
		{reflect.TypeFor[order](), head + `,"type":"object","properties":{` +
			`"named":{"$ref":"#/$defs/other"},"again":{"$ref":"#/$defs/other"},` +
			`"Untagged":{"type":"boolean"},"quoted":{"type":"string","pattern":"^\\S(.*\\S)?$","contentMediaType":"application/json",` +
			`"contentSchema":{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}},` +
			`"When":{"type":"string","format":"date-time"},"amount":{"anyOf":[{"type":"integer","minimum":0,"maximum":255},{"type":"null"}]},` +
			`"raw":{},"bytes":{"type":["string","null"],"contentEncoding":"base64"},"pair":{"type":"array","items":{"type":"number","minimum":-3.4028235e+38,"maximum":3.4028235e+38},"minItems":2,"maxItems":2},` +
			`"labels":{"type":["object","null"],"additionalProperties":{"type":"string"}},` +
			`"counts":{"type":["object","null"],"propertyNames":{"pattern":"^-?[0-9]+$","format":"int64"},"additionalProperties":{"type":"integer","minimum":-32768,"maximum":32767}},` +
			`"address":{"type":"string"},"number":{"type":"number"},"anything":{},` +
			`"anonymous":{"type":"object","properties":{},"additionalProperties":true},` +
			`"id":{"type":"string","description":"who it is"},"shown":{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807},"note":{"type":"string"}},` +
			`"required":["named","again","Untagged","quoted","When","amount","raw","bytes","pair","address","number","anything","anonymous","id","shown"],` +
			`"additionalProperties":true,"$defs":{"other":{"type":"object","properties":{"shown":{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807},` +
			`"deep":{"type":"string"}},"required":["shown"],"additionalProperties":true}}}`},
	} {
		got, err := Of(row.of, true)
		if err != nil || string(got) != row.want || !json.Valid(got) {
			t.Errorf("%s: %v\n got %s\nwant %s", row.of, err, got, row.want)
		}
	}
}

func TestTypesThatCannotBeJSONAreReported(t *testing.T) {
	t.Parallel()
	for of, want := range map[reflect.Type]string{
		reflect.TypeFor[chan int]():                         "it is a chan int",
		reflect.TypeFor[struct{ A []struct{ B func() } }](): "A[].B is a func()",
		reflect.TypeFor[map[float64]int]():                  "keys of a map",
	} {
		if _, err := Of(of, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", of, err, want)
		}
	}
}

type left struct{ Same, L int }
type right struct {
	Same, R int
	Deep    int
}
type both struct {
	left
	right
	middle
}
type middle struct{ M deepest }
type deepest struct{ Deep string }
type tagged struct {
	left
	winner
}
type winner struct {
	W int `json:"Same"`
}
type shadow struct {
	left
	Same string
	*loop
}
type loop struct {
	*Loop
	X int
}

// Loop embeds itself.
type Loop struct {
	*Loop
	Y int
}

// TestFieldsMatchEncodingJSON compares the fields of a schema with the members that encoding/json writes.
func TestFieldsMatchEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []any{order{Extra: &Extra{}, Number: "1", Labels: map[string]string{"": ""}, Counts: map[int]int16{1: 1}}, both{}, tagged{},
		shadow{}, Loop{Loop: &Loop{}}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range fieldsOf(reflect.TypeOf(v)) {
			if !f.sealed {
				got = append(got, f.name)
			}
		}
		slices.Sort(got)
		if want := slices.Sorted(maps.Keys(members)); !slices.Equal(got, want) {
			t.Errorf("%T has %q, encoding/json writes %q", v, got, want)
		}
	}
}
