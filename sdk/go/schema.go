package flawless

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()

	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// schemaOf returns the JSON Schema (draft 2020-12) of what encoding/json reads into a type, or writes of it, or
// an error that says which part of it cannot be JSON.
//
// What fits the schema to read can be read, as far as the engine's checks are in force (docs/internals/formats.md, Values),
// but for types that have a method of their own to read JSON or text.
func schemaOf(t reflect.Type, reads bool) ([]byte, error) {
	o := newObject(nil)
	o.str("$schema", "https://json-schema.org/draft/2020-12/schema")
	return o.schema(t, reads)
}

// schema ends o with the members of the schema of t.
func (o *object) schema(t reflect.Type, reads bool) ([]byte, error) {
	s := schemer{reads: reads, uses: map[reflect.Type]int{}, names: map[reflect.Type]string{}}
	s.count(t)
	s.write(o, t)
	if len(s.shared) > 0 {
		o.key("$defs")
		o.b = s.appendDefs(o.b)
	}
	return o.end(), s.err
}

// maxWanted is how long a schema may be that goes along with a call. The engine takes no longer one.
const maxWanted = 64 << 10

// wanted are the schemas of types that were waited for.
var wanted sync.Map // by reflect.Type

// wantedSchema returns the schema of what a call waits for as T, so that the engine refuses what does not
// fit. It is nil where T can be anything, or has a schema that is too long. The error is for a T that cannot
// be JSON.
func wantedSchema[T any]() ([]byte, error) {
	t := reflect.TypeFor[T]()
	if known, ok := wanted.Load(t); ok {
		return known.([]byte), nil
	}
	o := newObject(nil)
	s, err := o.schema(t, true)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be JSON: %w", t, err)
	}
	if len(s) > maxWanted || string(s) == "{}" {
		s = nil
	}
	wanted.Store(t, s)
	return s, nil
}

// schemer writes the schema of one type. A struct that is used more than once, as recursive ones
// are, is written under $defs.
type schemer struct {
	reads  bool // else it is of what is written
	uses   map[reflect.Type]int
	names  map[reflect.Type]string // under $defs
	shared []reflect.Type          // that have names, in the order they came up
	path   []string                // where we are, for errors
	err    error
}

// count walks through all structs that t leads to.
func (s *schemer) count(t reflect.Type) {
	switch classOf(t, s.reads) {
	case asPointer, asList, asArray, asMap:
		s.count(t.Elem())
	case asStruct:
		if s.uses[t]++; s.uses[t] > 1 {
			return
		}
		for _, f := range fieldsOf(t) {
			if !f.sealed {
				s.count(f.typ)
			}
		}
	}
}

// write writes the members of the schema of t into o.
func (s *schemer) write(o *object, t reflect.Type) {
	switch classOf(t, s.reads) {
	case asAny:
	case asNull:
		o.str("type", "null")
	case asTime:
		o.str("type", "string")
		o.str("format", "date-time")
	case asText:
		o.str("type", "string")
	case asNumber:
		o.str("type", "number")
	case asBytes:
		o.raw("type", []byte(`["string","null"]`))
		o.str("contentEncoding", "base64")
	case asPointer:
		s.nullable(o, t.Elem())
	case asList:
		o.raw("type", []byte(`["array","null"]`))
		s.member(o, "items", "[]", t.Elem())
	case asArray:
		o.str("type", "array")
		s.member(o, "items", "[]", t.Elem())
		o.int("minItems", int64(t.Len()))
		o.int("maxItems", int64(t.Len()))
	case asMap:
		s.mapping(o, t)
	case asStruct:
		s.structure(o, t)
	case asBasic:
		basic(o, t)
	default:
		s.fail(t, "functions, channels and complex numbers have no form in JSON")
	}
}

func (s *schemer) fail(t reflect.Type, why string) {
	if s.err != nil {
		return
	}
	where := strings.Join(s.path, "")
	if where == "" {
		where = "it"
	}
	s.err = fmt.Errorf("%s is a %s: %s", strings.TrimPrefix(where, "."), t, why)
}

// member writes the schema of t as a member of o. step is how one gets from here to there.
func (s *schemer) member(o *object, name, step string, t reflect.Type) {
	s.path = append(s.path, step)
	o.key(name)
	inner := newObject(o.b)
	s.write(&inner, t)
	o.b = inner.end()
	s.path = s.path[:len(s.path)-1]
}

func (s *schemer) nullable(o *object, t reflect.Type) {
	if classOf(t, s.reads) == asAny {
		return
	}
	o.key("anyOf")
	inner := newObject(append(o.b, '['))
	s.write(&inner, t)
	o.b = append(inner.end(), `,{"type":"null"}]`...)
}

func (s *schemer) mapping(o *object, t reflect.Type) {
	o.raw("type", []byte(`["object","null"]`))
	ownText := textMarshaler
	if s.reads {
		ownText = textUnmarshaler
	}
	switch k := t.Key(); {
	case k == timeType:
		o.raw("propertyNames", []byte(`{"format":"date-time"}`))
	case k.Kind() == reflect.String || implements(k, ownText):
	case k.Kind() >= reflect.Int && k.Kind() <= reflect.Int64:
		o.raw("propertyNames", fmt.Appendf(nil, `{"pattern":"^-?[0-9]+$","format":"int%d"}`, k.Bits()))
	case k.Kind() >= reflect.Uint && k.Kind() <= reflect.Uintptr:
		o.raw("propertyNames", fmt.Appendf(nil, `{"pattern":"^[0-9]+$","format":"uint%d"}`, k.Bits()))
	default:
		s.fail(t, "the keys of a map must be strings or integers")
	}
	s.member(o, "additionalProperties", "[]", t.Elem())
}

// quoted writes the schema of a string that holds the JSON of a value of t.
func (s *schemer) quoted(o *object, t reflect.Type) {
	t, pointer := pointedTo(t)
	class := classOf(t, s.reads)
	switch {
	case !s.reads && class != asBasic && class != asNumber: // it writes what it likes
		return
	case pointer:
		o.raw("type", []byte(`["string","null"]`))
	default:
		o.str("type", "string")
	}
	if class == asBasic || class == asNumber {
		o.str("pattern", `^\S(.*\S)?$`)
		o.str("contentMediaType", "application/json")
		s.member(o, "contentSchema", "", t)
	}
}

// structure writes a struct in place, or a reference to it.
func (s *schemer) structure(o *object, t reflect.Type) {
	if s.uses[t] > 1 {
		o.str("$ref", "#/$defs/"+s.name(t))
		return
	}
	s.properties(o, t)
}

func (s *schemer) properties(o *object, t reflect.Type) {
	o.str("type", "object")
	o.key("properties")
	inner := newObject(o.b)
	var required []string
	for _, f := range fieldsOf(t) {
		if f.sealed {
			if s.reads {
				inner.raw(f.name, []byte("false"))
			}
			continue
		}
		s.path = append(s.path, "."+f.name)
		inner.key(f.name)
		p := newObject(inner.b)
		if f.quoted {
			s.quoted(&p, f.typ)
		} else {
			s.write(&p, f.typ)
		}
		if f.doc != "" {
			p.str("description", f.doc)
		}
		inner.b = p.end()
		s.path = s.path[:len(s.path)-1]
		if !f.optional {
			required = append(required, f.name)
		}
	}
	o.b = inner.end()
	if len(required) > 0 {
		o.key("required")
		o.b = appendStrings(o.b, required)
	}
	o.bool("additionalProperties", true)
}

// name returns the name of a struct under $defs.
func (s *schemer) name(t reflect.Type) string {
	if n, ok := s.names[t]; ok {
		return n
	}
	base := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_':
			return r
		}
		return '_'
	}, t.Name())
	if base == "" {
		base = "struct"
	}
	n := base
	for i := 2; s.taken(n); i++ {
		n = base + strconv.Itoa(i)
	}
	s.names[t] = n
	s.shared = append(s.shared, t)
	return n
}

func (s *schemer) taken(name string) bool {
	for _, n := range s.names {
		if n == name {
			return true
		}
	}
	return false
}

func (s *schemer) appendDefs(b []byte) []byte {
	o := newObject(b)
	for i := 0; i < len(s.shared); i++ { // grows while it is written
		o.key(s.names[s.shared[i]])
		inner := newObject(o.b)
		s.properties(&inner, s.shared[i])
		o.b = inner.end()
	}
	return o.end()
}

func basic(o *object, t reflect.Type) {
	switch k := t.Kind(); k {
	case reflect.Bool:
		o.str("type", "boolean")
	case reflect.String:
		o.str("type", "string")
	case reflect.Float64:
		o.str("type", "number")
	case reflect.Float32:
		o.str("type", "number")
		o.raw("minimum", []byte("-3.4028235e+38"))
		o.raw("maximum", []byte("3.4028235e+38"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		o.str("type", "integer")
		o.int("minimum", -1<<(t.Bits()-1))
		o.int("maximum", 1<<(t.Bits()-1)-1)
	default:
		o.str("type", "integer")
		o.int("minimum", 0)
		o.raw("maximum", strconv.AppendUint(nil, 1<<(t.Bits()-1)|(1<<(t.Bits()-1)-1), 10))
	}
}
