// Package form turns a JSON Schema into the fields of a form, and what people fill in into JSON.
//
// It hides how much of JSON Schema it understands: a part that it does not is one field for JSON, so that every value
// can be given. It checks only that numbers, choices and JSON can be read; whether a value fits the schema is for the
// engine to say. It keeps no state and knows nothing about HTML.
package form

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Kind is how a field is shown.
type Kind string

// The kinds of fields.
const (
	Text   Kind = "text"
	Number Kind = "number"
	Flag   Kind = "flag"   // a box that is ticked or not
	Choice Kind = "choice" // one of Choices
	List   Kind = "list"   // simple values, one a line
	Group  Kind = "group"  // an object, of Fields
	JSON   Kind = "json"   // anything
)

// Field is a field of a form, or a group of them.
type Field struct {
	ID       string // unique in the form, for HTML
	Name     string // of the control: that of the form, and for a member /name of each object around it
	Path     string // of the value, as the API names it: items.price; "" is the whole
	Label    string
	Doc      string
	Kind     Kind
	Required bool
	Null     bool // null is a value, too
	Choices  []Option
	Item     *Field   // what the lines of a List are
	Fields   []*Field // of a Group
	Schema   string   // of a field for JSON, indented; "" allows everything
	Hint     string   // what can be filled in, in words

	Value   string // what is filled in
	Problem string // what is wrong with it
}

// Option is one of several values.
type Option struct{ Value, Title string } // Value is JSON

// Groups lie at most maxDepth deep in each other, and a form has at most maxFields fields. What is beyond that is JSON.
const (
	maxDepth  = 4
	maxFields = 300
)

// Of returns the field of a schema; for a nil or broken schema, it is one for JSON.
func Of(name string, schema []byte) *Field {
	b := &builder{}
	var whole map[string]any
	d := json.NewDecoder(bytes.NewReader(schema))
	d.UseNumber()
	if d.Decode(&whole) == nil {
		b.defs, b.order = whole, orders(schema)
	}
	f := b.field(name, "", whole, 0)
	f.Required = true
	return f
}

// builder makes the fields of one schema.
type builder struct {
	defs  map[string]any // the whole schema, which parts refer to
	order map[string]int // where each name of a member first occurs in the schema
	n     int
}

// field returns the field for a part of the schema.
func (b *builder) field(name, path string, s map[string]any, depth int) *Field {
	b.n++
	f := &Field{ID: "f" + strconv.Itoa(b.n), Name: name, Path: path, Label: path[strings.LastIndexByte(path, '.')+1:], Kind: JSON}
	s = b.resolve(s, f)
	if title := text(s["title"]); title != "" && f.Label == "" {
		f.Label = title
	}
	f.Doc = text(s["description"])
	switch kind := only(s["type"]); {
	case s["enum"] != nil:
		f.choices(s["enum"])
	case kind == "string":
		f.Kind, f.Hint = Text, textHint(s)
	case kind == "integer" || kind == "number":
		f.Kind, f.Hint = Number, numberHint(s)
	case kind == "boolean":
		f.Kind = Flag
	case kind == "array" && depth < maxDepth:
		b.list(f, s, depth)
	case kind == "object" && s["properties"] != nil && depth < maxDepth && b.n+members(s) <= maxFields:
		b.group(f, s, depth)
	}
	if f.Kind == JSON && len(s) > 0 {
		f.Schema = indented(s)
	}
	f.preset(s["default"])
	return f
}

// members returns how many properties an object has.
func members(s map[string]any) int {
	all, _ := s["properties"].(map[string]any)
	return len(all)
}

// preset fills in a default as people would, so that reading the field gives the default back. A default that the field cannot
// hold is left to the workflow.
func (f *Field) preset(v any) {
	if v == nil { // an empty field is null, or none
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	_, isText := v.(string)
	switch f.Kind {
	case Choice, JSON:
		f.Value = string(b) // the text "3" and the number 3 are different
	case Text:
		if isText {
			f.Value = plain(v)
		}
	case Number, Flag:
		if !isText {
			f.Value = plain(v)
		}
	}
}

// resolve returns a part without references, and without the alternative null, which it notes in f.
func (b *builder) resolve(s map[string]any, f *Field) map[string]any {
	for range 20 { // references may form a circle
		switch ref := text(s["$ref"]); {
		case ref != "":
			to, ok := b.lookup(ref)
			if !ok {
				return map[string]any{}
			}
			s = merged(to, s, "$ref")
			continue
		case len(items(s["allOf"])) == 1:
			if to, ok := items(s["allOf"])[0].(map[string]any); ok {
				s = merged(to, s, "allOf")
				continue
			}
		}
		if other, ok := nullable(s); ok {
			f.Null = true
			s = other
			continue
		}
		if all := items(s["type"]); len(all) > 0 && slices.Contains(all, any("null")) {
			f.Null = true
			s = merged(s, map[string]any{"type": slices.DeleteFunc(slices.Clone(all), func(x any) bool { return x == "null" })}, "")
			continue
		}
		break
	}
	if c, has := s["const"]; has {
		s = merged(s, map[string]any{"enum": []any{c}}, "const")
	}
	return s
}

// lookup returns the part that a reference within the schema names.
func (b *builder) lookup(ref string) (map[string]any, bool) {
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, false
	}
	var at any = b.defs
	for name := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if name == "" {
			continue
		}
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		m, is := at.(map[string]any)
		if !is {
			return nil, false
		}
		at = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	m, is := at.(map[string]any)
	return m, is
}

// nullable returns the other alternative of a union with null.
func nullable(s map[string]any) (map[string]any, bool) {
	for _, union := range []string{"anyOf", "oneOf"} {
		all := items(s[union])
		if len(all) != 2 {
			continue
		}
		for i, x := range all {
			m, _ := x.(map[string]any)
			if other, is := all[1-i].(map[string]any); is && len(m) == 1 && m["type"] == "null" {
				return merged(other, s, union), true
			}
		}
	}
	return nil, false
}

// merged returns a with the members of b, except for one of b.
func merged(a, b map[string]any, without string) map[string]any {
	out := map[string]any{}
	for name, v := range a {
		out[name] = v
	}
	for name, v := range b {
		if name != without && name != "$defs" && name != "$schema" {
			out[name] = v
		}
	}
	return out
}

// group makes f the group of an object's members, in the order of the schema.
func (b *builder) group(f *Field, s map[string]any, depth int) {
	members, _ := s["properties"].(map[string]any)
	f.Kind = Group
	var names []string
	for name := range members {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		if b.order[x] != b.order[y] {
			return b.order[x] - b.order[y]
		}
		return strings.Compare(x, y)
	})
	required := items(s["required"])
	for _, name := range names {
		m, _ := members[name].(map[string]any)
		path := name
		if f.Path != "" {
			path = f.Path + "." + name
		}
		member := b.field(f.Name+"/"+name, path, m, depth+1)
		member.Label = name
		member.Required = slices.Contains(required, any(name))
		f.Fields = append(f.Fields, member)
	}
}

// list makes f a list if its items are simple.
func (b *builder) list(f *Field, s map[string]any, depth int) {
	m, ok := s["items"].(map[string]any)
	if !ok {
		return
	}
	item := b.field(f.Name, f.Path, m, depth+1)
	switch item.Kind {
	case Text, Number, Choice, Flag:
		f.Kind, f.Item, f.Hint = List, item, "one a line"
		if item.Kind == Choice {
			var all []string
			for _, o := range item.Choices {
				all = append(all, o.Title)
			}
			f.Hint = "one a line: " + strings.Join(all, ", ")
		} else if item.Hint != "" {
			f.Hint = "one a line, " + item.Hint
		}
	}
}

// choices makes f a choice between values.
func (f *Field) choices(all any) {
	f.Kind = Choice
	for _, v := range items(all) {
		if v == nil {
			f.Null = true
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			continue
		}
		f.Choices = append(f.Choices, Option{string(b), plain(v)})
	}
}

// orders returns where names of members first occur in a text: JSON objects have an order for people.
func orders(schema []byte) map[string]int {
	out := map[string]int{}
	d := json.NewDecoder(bytes.NewReader(schema))
	for {
		t, err := d.Token()
		if err != nil {
			return out
		}
		if name, is := t.(string); is {
			if _, had := out[name]; !had {
				out[name] = len(out)
			}
		}
	}
}

func textHint(s map[string]any) string {
	switch {
	case s["format"] == "date-time":
		return "a time, such as 2026-01-31T15:04:05Z"
	case s["format"] != nil:
		return text(s["format"])
	case s["contentEncoding"] != nil:
		return "bytes in " + text(s["contentEncoding"])
	case s["pattern"] != nil:
		return "like " + text(s["pattern"])
	}
	return ""
}

func numberHint(s map[string]any) string {
	low, high := number(s["minimum"]), number(s["maximum"])
	kind := "number"
	if only(s["type"]) == "integer" {
		kind = "whole number"
	}
	wide := func(t string) bool { return len(strings.TrimPrefix(t, "-")) > 9 } // the range of a type, which says nothing
	switch {
	case low != "" && high != "" && !wide(low) && !wide(high):
		return kind + ", " + low + " to " + high
	case low != "" && !wide(low):
		return kind + ", " + low + " or more"
	case high != "" && !wide(high):
		return kind + ", at most " + high
	}
	return kind
}

func number(v any) string {
	if n, is := v.(json.Number); is {
		return n.String()
	}
	return ""
}

func items(v any) []any {
	all, _ := v.([]any)
	return all
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// only returns the type of a schema with one type.
func only(v any) string {
	if all := items(v); len(all) == 1 {
		return text(all[0])
	}
	return text(v)
}

// plain returns a value as people write it: a text without quotes.
func plain(v any) string {
	if s, is := v.(string); is {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func indented(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}
