package value

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestErrorsNameOnlyTheBranchThatIsMeant: the error for a value that matches no branch of a union says what is wrong in
// the branch that the value names, and nothing about the others.
func TestErrorsNameOnlyTheBranchThatIsMeant(t *testing.T) {
	t.Parallel()
	const (
		internal = `{"oneOf":[{"type":"object","properties":{"t":{"const":"A","type":"string"},"x":{"type":"integer"}},"required":["t","x"]},
			{"type":"object","properties":{"t":{"const":"B","type":"string"},"y":{"type":"number"},"z":{"type":"string"}},"required":["t","y","z"]},
			{"$ref":"#/$defs/c","type":"object","properties":{"t":{"const":"C","type":"string"}},"required":["t"]}],
			"$defs":{"c":{"type":"object","properties":{"u":{"enum":["one","two"]}},"required":["u"]}}}`
		adjacent = `{"anyOf":[{"type":"object","properties":{"t":{"const":"N"},"c":{"type":"integer"}},"required":["t","c"]},
			{"type":"object","properties":{"t":{"const":"S"},"c":{"$ref":"#/$defs/s"}},"required":["t","c"]}],
			"$defs":{"s":{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"}},"required":["a","b"]}}}`
		external = `{"oneOf":[{"enum":["Plain"],"type":"string"},{"type":"object","properties":{"One":{"type":"integer"}},"required":["One"],"additionalProperties":false},
			{"type":"object","properties":{"Two":{"type":"object","required":["a","b"]}},"required":["Two"],"additionalProperties":false}]}`
	)
	option := `{"type":"object","properties":{"o":{"anyOf":[` + strings.Replace(adjacent, "#/$defs/s", "#/properties/o/anyOf/0/$defs/s", 1) + `,{"type":"null"}]}}}`
	twice := `{"allOf":[` + strings.ReplaceAll(adjacent, "#/", "#/allOf/0/") + `],` + strings.Replace(adjacent[1:], "anyOf", "oneOf", 1)
	for _, row := range []struct {
		name, schema, text string
		want               []Violation
	}{
		{"internal tag", internal, `{"t":"A","x":"1"}`, []Violation{{"x", "got string, want integer"}}},
		{"internal tag, a member is missing", internal, `{"t":"B","y":1}`, []Violation{{"", "missing property 'z'"}}},
		{"internal tag, two violations", internal, `{"t":"B","y":"1","z":1}`, []Violation{{"y", "got string, want number"}, {"z", "got number, want string"}}},
		{"internal tag, the branch refers to a schema", internal, `{"t":"C","u":1}`, []Violation{{"u", "value must be one of 'one', 'two'"}}},
		{"an unknown tag", internal, `{"t":"D","x":1}`, []Violation{{"t", `"D" is not known: give one of "A", "B", "C"`}}},
		{"a tag that is a number", internal, `{"t":1}`, []Violation{{"t", `1 is not known: give one of "A", "B", "C"`}}},
		{"a tag that is an object", internal, `{"t":{}}`, []Violation{{"t", `this value is not known: give one of "A", "B", "C"`}}},
		{"no tag", internal, `{"x":1}`, []Violation{{"", "missing property 't'"}}},
		{"no object", internal, `7`, []Violation{{"", "got number, want object"}}},
		{"adjacent tag", adjacent, `{"t":"S","c":{"a":"1","b":true}}`, []Violation{{"c.a", "got string, want integer"}}},
		{"adjacent tag, the content has another type", adjacent, `{"t":"N","c":{"a":1,"b":true}}`, []Violation{{"c", "got object, want integer"}}},
		{"in an array", `{"type":"array","items":` + strings.Replace(adjacent, "#/", "#/items/", 1) + `}`, `[{"t":"N","c":1},{"t":"S","c":{"a":1}}]`, []Violation{{"1.c", "missing property 'b'"}}},
		{"described twice", twice, `{"t":"N","c":"x"}`, []Violation{{"c", "got string, want integer"}}},
		{"optional", option, `{"o":{"t":"N","c":"x"}}`, []Violation{{"o.c", "got string, want integer"}}},
		{"optional, neither object nor null", option, `{"o":1}`, []Violation{{"o", "got number, want object"}, {"o", "got number, want null"}}},
		{"the only member", external, `{"One":"x"}`, []Violation{{"One", "got string, want integer"}}},
		{"the only member, an object", external, `{"Two":{"a":1}}`, []Violation{{"Two", "missing property 'b'"}}},
		{"a plain variant", external, `"Plane"`, []Violation{{"", "value must be 'Plain'"}}},
		{"no tag in the schema", `{"anyOf":[{"type":"object","required":["a"]},{"type":"object","required":["b"]}]}`, `{}`, []Violation{{"", "missing property 'a'"}, {"", "missing property 'b'"}}},
		{"a constant that is no tag", `{"anyOf":[{"properties":{"t":{"const":"A"}},"required":["t"]},{"properties":{"t":{"const":"A"}},"required":["t","x"]}]}`, `{"t":"A1"}`,
			[]Violation{{"", "missing property 'x'"}, {"t", "value must be 'A'"}}},
		{"in a text", `{"type":"object","properties":{"a":{"type":"string","contentMediaType":"application/json","contentSchema":` + strings.ReplaceAll(adjacent, "#/", "#/properties/a/contentSchema/") + `}}}`,
			`{"t":"N","a":"{\"t\":\"N\",\"c\":true}"}`, []Violation{{"c", "got boolean, want integer"}, {"c", "got boolean, want object"}, {"t", "value must be 'S'"}}},
	} {
		s, err := Compile([]byte(row.schema))
		if err != nil {
			t.Fatal(row.name, err)
		}
		bad := new(Violations)
		if err := Check(s, []byte(row.text), "it"); !errors.As(err, &bad) {
			t.Errorf("%s: %v", row.name, err)
		} else if diff := cmp.Diff(row.want, bad.List); diff != "" {
			t.Errorf("%s: %s", row.name, diff)
		}
	}
}
