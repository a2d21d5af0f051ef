package value

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// A value that matches no branch of an anyOf or oneOf breaks some rule of each. The sender meant one of them, and the
// rules of the others would hide what to correct.

// explain appends why a value matches no branch of a union. Where the value says which branch is meant, by a tag, by
// its only member or by its JSON type, it appends only what that branch requires.
func (r *report) explain(e *jsonschema.ValidationError, branches []*jsonschema.Schema) {
	causes := e.Causes
	if object, is := member(r.value, e.InstanceLocation).(map[string]any); is && len(branches) == len(causes) {
		tag, names := tagOf(branches)
		switch given, has := object[tag]; {
		case names == nil:
			if i := onlyMember(branches, object); i >= 0 {
				causes = causes[i : i+1]
			}
		case !has:
			r.add(e.InstanceLocation, reason(&kind.Required{Missing: []string{tag}}))
			return
		default:
			name, _ := given.(string)
			i, known := names[name]
			if !known {
				r.add(append(slices.Clone(e.InstanceLocation), tag), unknownTag(given, names))
				return
			}
			causes = causes[i : i+1]
		}
	}
	// Such as the branch for null of an Option in Rust or a pointer in Go.
	otherType := func(c *jsonschema.ValidationError) bool { return hasOtherType(c, len(e.InstanceLocation)) }
	if fit := slices.DeleteFunc(slices.Clone(causes), otherType); len(fit) > 0 {
		causes = fit
	}
	for _, c := range causes {
		r.collect(c)
	}
}

// member returns the part of a value at a location, or nil.
func member(v any, location []string) any {
	for _, name := range location {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// hasOtherType reports whether the error is that the value itself, which is at the given depth, has another JSON type.
func hasOtherType(e *jsonschema.ValidationError, depth int) bool {
	switch e.ErrorKind.(type) {
	case *kind.Type:
		return len(e.InstanceLocation) == depth
	case *kind.ContentSchema:
		return false // its causes are about the value in a text
	}
	hasType := func(c *jsonschema.ValidationError) bool { return !hasOtherType(c, depth) }
	return len(e.Causes) > 0 && !slices.ContainsFunc(e.Causes, hasType)
}

// tagOf returns the member that tells the branches of a union apart, and the branch for each of its values; nil if
// there is no such member. It is required in every branch, with another constant text in each.
func tagOf(branches []*jsonschema.Schema) (tag string, names map[string]int) {
	texts := make([]map[string]string, len(branches))
	for i, b := range branches {
		texts[i] = constants(b)
	}
	for _, tag := range slices.Sorted(maps.Keys(texts[0])) {
		names := map[string]int{}
		for i := range branches {
			if text, is := texts[i][tag]; is {
				names[text] = i
			}
		}
		if len(names) == len(branches) {
			return tag, names
		}
	}
	return "", nil
}

// constants returns the members that a schema requires with a constant text, and these texts.
func constants(s *jsonschema.Schema) map[string]string {
	out := map[string]string{}
	seen := map[*jsonschema.Schema]bool{}
	var visit func(*jsonschema.Schema)
	visit = func(s *jsonschema.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		for _, name := range s.Required {
			if p := s.Properties[name]; p != nil && p.Const != nil {
				if text, is := (*p.Const).(string); is {
					out[name] = text
				}
			}
		}
		visit(s.Ref)
		for _, sub := range s.AllOf {
			visit(sub)
		}
	}
	visit(s)
	return out
}

// onlyMember returns the branch whose only member is the only one of the object, or -1. Rust's enums are such unions
// unless their type says otherwise.
func onlyMember(branches []*jsonschema.Schema, object map[string]any) int {
	return slices.IndexFunc(branches, func(b *jsonschema.Schema) bool {
		if len(object) != 1 || len(b.Properties) != 1 || b.AdditionalProperties != false {
			return false
		}
		for name := range b.Properties {
			if _, has := object[name]; !has {
				return false
			}
		}
		return true
	})
}

func unknownTag(given any, names map[string]int) string {
	shown := fmt.Sprintf("%.100q", given)
	switch x := given.(type) {
	case string:
	case json.Number:
		shown = shortened(string(x))
	case bool, nil:
		shown = fmt.Sprint(x)
	default:
		shown = "this value"
	}
	all := slices.Sorted(maps.Keys(names))
	for i, name := range all {
		all[i] = strconv.Quote(name)
	}
	return fmt.Sprintf("%s is not known: give one of %s", shown, strings.Join(all, ", "))
}
