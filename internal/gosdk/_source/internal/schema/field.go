package schema

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// class is how encoding/json treats a type.
type class int

const (
	asNothing class = iota
	asAny
	asNull // only null can be read into it
	asTime
	asText
	asNumber
	asBytes
	asPointer
	asList
	asArray
	asMap
	asStruct
	asBasic
)

// classOf returns the class of t for reading or for writing. They differ if t has a method for only one of the two.
func classOf(t reflect.Type, reads bool) class {
	ownJSON, ownText := jsonMarshaler, textMarshaler
	if reads {
		ownJSON, ownText = jsonUnmarshaler, textUnmarshaler
	}
	switch {
	case t == timeType:
		return asTime
	case t == numberType:
		return asNumber
	case t.Kind() == reflect.Interface:
		if reads && t.NumMethod() > 0 {
			return asNull
		}
		return asAny
	case t.Kind() == reflect.Pointer:
		return asPointer
	case implements(t, ownJSON):
		return asAny
	case implements(t, ownText):
		return asText
	}
	switch t.Kind() {
	case reflect.Slice:
		if e := t.Elem(); e.Kind() == reflect.Uint8 && !implements(e, ownJSON) && !implements(e, ownText) {
			return asBytes
		}
		return asList
	case reflect.Array:
		return asArray
	case reflect.Map:
		return asMap
	case reflect.Struct:
		return asStruct
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Invalid:
		return asNothing
	}
	return asBasic
}

// implements reports whether t or *t implements i.
func implements(t, i reflect.Type) bool {
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}

// field is a member of the JSON object for a struct.
type field struct {
	name     string
	typ      reflect.Type
	doc      string
	optional bool
	quoted   bool // option "string": a string, number or boolean as JSON inside a string
	tagged   bool
	sealed   bool // behind an unexported embedded pointer, which encoding/json cannot set: reading the member fails
}

// fieldsOf returns the fields of a struct as encoding/json sees them. Fields of embedded structs are promoted. Of two
// fields with the same name, the less deep one wins, then the one named by a tag; otherwise both are ignored.
func fieldsOf(t reflect.Type) []field {
	type level struct {
		typ      reflect.Type
		optional bool
		sealed   bool
	}
	var out []field
	seen := map[reflect.Type]bool{}
	for now := []level{{typ: t}}; len(now) > 0; {
		var next []level
		var found []field
		for _, l := range now {
			if seen[l.typ] {
				continue
			}
			for i := range l.typ.NumField() {
				sf := l.typ.Field(i)
				if e, pointer, ok := embedded(sf); ok {
					next = append(next, level{e, l.optional || pointer, l.sealed || pointer && !sf.IsExported()})
				} else if f, ok := fieldOf(sf); ok {
					f.optional = f.optional || l.optional
					f.sealed = f.sealed || l.sealed
					found = append(found, f)
				}
			}
		}
		for _, l := range now {
			seen[l.typ] = true
		}
		out = append(out, dominant(found, out)...)
		now = next
	}
	return slices.DeleteFunc(out, func(f field) bool { return f.typ == nil })
}

// dominant returns the fields of one level that are not hidden by a field of the same level or above. A name that is
// ambiguous gets a field without a type, which hides deeper fields of that name.
func dominant(found, above []field) []field {
	var out []field
	for _, f := range found {
		same := func(g field) bool { return g.name == f.name }
		if slices.ContainsFunc(above, same) || slices.ContainsFunc(out, same) {
			continue
		}
		var rivals, tagged []field
		for _, g := range found {
			if same(g) {
				rivals = append(rivals, g)
				if g.tagged {
					tagged = append(tagged, g)
				}
			}
		}
		switch {
		case len(tagged) == 1:
			f = tagged[0]
		case len(rivals) > 1:
			f.typ = nil
		}
		out = append(out, f)
	}
	return out
}

// embedded returns the struct whose fields sf promotes, and whether it is behind a pointer and so may be nil.
func embedded(sf reflect.StructField) (t reflect.Type, pointer, ok bool) {
	if name, _, _ := strings.Cut(sf.Tag.Get("json"), ","); !sf.Anonymous || validName(name) || sf.Tag.Get("json") == "-" {
		return nil, false, false
	}
	t = sf.Type
	if t.Kind() == reflect.Pointer {
		t, pointer = t.Elem(), true
	}
	return t, pointer, t.Kind() == reflect.Struct
}

func fieldOf(sf reflect.StructField) (field, bool) {
	tag := sf.Tag.Get("json")
	t, pointer := pointedTo(sf.Type)
	if tag == "-" || !sf.IsExported() && !(sf.Anonymous && t.Kind() == reflect.Struct) {
		return field{}, false
	}
	name, rest, _ := strings.Cut(tag, ",")
	f := field{name: sf.Name, typ: sf.Type, doc: sf.Tag.Get("doc"), sealed: pointer && !sf.IsExported()}
	if validName(name) {
		f.name, f.tagged = name, true
	}
	for word := range strings.SplitSeq(rest, ",") {
		switch word {
		case "omitempty", "omitzero":
			f.optional = true
		case "string":
			f.quoted = t.Kind() >= reflect.Bool && t.Kind() <= reflect.Float64 || t.Kind() == reflect.String
		}
	}
	return f, true
}

// pointedTo returns the element type of an unnamed pointer type, or t itself.
func pointedTo(t reflect.Type) (_ reflect.Type, pointer bool) {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		return t.Elem(), true
	}
	return t, false
}

// validName reports whether encoding/json accepts the name in a tag.
func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r)
	})
}
