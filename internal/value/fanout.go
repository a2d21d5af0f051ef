package value

import (
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxFanOut is how many schemas may apply to one value, each counted as often as the others refer to
// it. Where each of 40 definitions refers twice to the next one, that is a million million.
const maxFanOut = 10_000

// fanOut returns how many schemas apply to one value, at most maxFanOut+1, for the schema under s
// where that is the most.
func fanOut(s *jsonschema.Schema) int {
	f := fan{counts: map[*jsonschema.Schema]int{}}
	f.visit(s)
	return f.most
}

type fan struct {
	counts map[*jsonschema.Schema]int // 0 while it is counted
	most   int
}

// visit returns how many schemas apply to a value that s is applied to. A schema that refers to itself
// is counted once: the validator notices the circle.
func (f *fan) visit(s *jsonschema.Schema) int {
	if s == nil {
		return 0
	}
	if n, seen := f.counts[s]; seen {
		return n
	}
	f.counts[s] = 0
	n := 1
	for _, sub := range sameValue(s) {
		n = min(n+f.visit(sub), maxFanOut+1)
	}
	f.counts[s], f.most = n, max(f.most, n)
	for _, sub := range partsOf(s) {
		f.visit(sub)
	}
	return n
}

// sameValue are the schemas that apply to what s applies to.
func sameValue(s *jsonschema.Schema) []*jsonschema.Schema {
	out := []*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else}
	if s.DynamicRef != nil {
		out = append(out, s.DynamicRef.Ref)
	}
	out = append(append(append(out, s.AllOf...), s.AnyOf...), s.OneOf...)
	for _, sub := range s.DependentSchemas {
		out = append(out, sub)
	}
	for _, sub := range s.Dependencies {
		out = appendSchemas(out, sub)
	}
	return out
}

// partsOf are the schemas that apply to members and items.
func partsOf(s *jsonschema.Schema) []*jsonschema.Schema {
	out := []*jsonschema.Schema{s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.Items2020, s.UnevaluatedItems, s.ContentSchema}
	for _, sub := range s.Properties {
		out = append(out, sub)
	}
	for _, sub := range s.PatternProperties {
		out = append(out, sub)
	}
	out = append(out, s.PrefixItems...)
	return appendSchemas(appendSchemas(appendSchemas(out, s.AdditionalProperties), s.Items), s.AdditionalItems)
}

// appendSchemas appends what is a schema, or are schemas.
func appendSchemas(out []*jsonschema.Schema, v any) []*jsonschema.Schema {
	switch v := v.(type) {
	case *jsonschema.Schema:
		return append(out, v)
	case []*jsonschema.Schema:
		return append(out, v...)
	}
	return out
}
