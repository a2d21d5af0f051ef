package value

import (
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxFanOut limits how many schemas may apply to one value, counting a schema once per reference to it. With 40
// definitions that each refer twice to the next one, the count is 2⁴⁰.
const maxFanOut = 10_000

// measure counts the schemas under s.
func measure(s *jsonschema.Schema) fan {
	f := fan{counts: map[*jsonschema.Schema]int{}}
	f.visit(s)
	return f
}

type fan struct {
	counts map[*jsonschema.Schema]int // of each schema; 0 while it is being counted
	most   int                        // the largest number of schemas that apply to one value, at most maxFanOut+1
}

// visit returns how many schemas apply to a value that s applies to. A schema that refers to itself is counted once,
// because the validator detects the cycle.
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

// sameValue returns the schemas that apply to the same value as s.
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

// partsOf returns the schemas of the members and items of a value that s applies to.
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

// appendSchemas appends v if it is a schema or a list of schemas.
func appendSchemas(out []*jsonschema.Schema, v any) []*jsonschema.Schema {
	switch v := v.(type) {
	case *jsonschema.Schema:
		return append(out, v)
	case []*jsonschema.Schema:
		return append(out, v...)
	}
	return out
}
