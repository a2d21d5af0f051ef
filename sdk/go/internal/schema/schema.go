package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()

	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Of returns the JSON Schema (draft 2020-12) of the JSON that encoding/json reads into t (reads), or of the JSON that
// it writes from t. The error names the part of t that cannot be JSON.
//
// Every value that fits the schema for reading can be decoded, provided that the engine enforces its checks
// (docs/internals/formats.md, Values) and t has no UnmarshalJSON or UnmarshalText method of its own.
func Of(t reflect.Type, reads bool) ([]byte, error) {
	o := wire.NewObject(nil)
	o.Str("$schema", "https://json-schema.org/draft/2020-12/schema")
	return finish(&o, t, reads)
}

// finish completes o with the members of the schema of t.
func finish(o *wire.Object, t reflect.Type, reads bool) ([]byte, error) {
	s := schemer{reads: reads, uses: map[reflect.Type]int{}, names: map[reflect.Type]string{}}
	s.count(t)
	s.write(o, t)
	if len(s.shared) > 0 {
		o.Key("$defs")
		o.B = s.appendDefs(o.B)
	}
	return o.End(), s.err
}

// maxCallSchema is the size limit of a schema in the head of a call; the engine rejects longer ones.
const maxCallSchema = 64 << 10

// callSchemas caches the results of [ForCall] by reflect.Type.
var callSchemas sync.Map

// ForCall returns the schema to send with a call that waits for a value of type T, such as a receive, so that the
// engine rejects values that do not fit. It is nil if T accepts anything or if the schema is longer than 64 KiB. The
// error is for a T that cannot be JSON. ForCall may be called concurrently.
func ForCall[T any]() ([]byte, error) {
	t := reflect.TypeFor[T]()
	if known, ok := callSchemas.Load(t); ok {
		return known.([]byte), nil
	}
	o := wire.NewObject(nil)
	s, err := finish(&o, t, true)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be JSON: %w", t, err)
	}
	if len(s) > maxCallSchema || string(s) == "{}" {
		s = nil
	}
	callSchemas.Store(t, s)
	return s, nil
}

// IsStruct reports whether encoding/json reads t from the members of an object, field by field.
func IsStruct(t reflect.Type) bool { return classOf(t, true) == asStruct }

// schemer writes the schema of one type. It puts a struct that is used more than once, such as a recursive one, under
// $defs.
type schemer struct {
	reads  bool // the schema is for reading, not for writing
	uses   map[reflect.Type]int
	names  map[reflect.Type]string // names under $defs
	shared []reflect.Type          // types with names, in order of appearance
	path   []string                // path to the current type, for errors
	err    error
}

// count counts how often each struct is used in t.
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
func (s *schemer) write(o *wire.Object, t reflect.Type) {
	switch classOf(t, s.reads) {
	case asAny:
	case asNull:
		o.Str("type", "null")
	case asTime:
		o.Str("type", "string")
		o.Str("format", "date-time")
	case asText:
		o.Str("type", "string")
	case asNumber:
		o.Str("type", "number")
	case asBytes:
		o.Raw("type", []byte(`["string","null"]`))
		o.Str("contentEncoding", "base64")
	case asPointer:
		s.nullable(o, t.Elem())
	case asList:
		o.Raw("type", []byte(`["array","null"]`))
		s.member(o, "items", "[]", t.Elem())
	case asArray:
		o.Str("type", "array")
		s.member(o, "items", "[]", t.Elem())
		o.Int("minItems", int64(t.Len()))
		o.Int("maxItems", int64(t.Len()))
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

// member writes the schema of t as a member of o. step extends the path.
func (s *schemer) member(o *wire.Object, name, step string, t reflect.Type) {
	s.path = append(s.path, step)
	o.Key(name)
	inner := wire.NewObject(o.B)
	s.write(&inner, t)
	o.B = inner.End()
	s.path = s.path[:len(s.path)-1]
}

func (s *schemer) nullable(o *wire.Object, t reflect.Type) {
	if classOf(t, s.reads) == asAny {
		return
	}
	o.Key("anyOf")
	inner := wire.NewObject(append(o.B, '['))
	s.write(&inner, t)
	o.B = append(inner.End(), `,{"type":"null"}]`...)
}

func (s *schemer) mapping(o *wire.Object, t reflect.Type) {
	o.Raw("type", []byte(`["object","null"]`))
	ownText := textMarshaler
	if s.reads {
		ownText = textUnmarshaler
	}
	switch k := t.Key(); {
	case k == timeType:
		o.Raw("propertyNames", []byte(`{"format":"date-time"}`))
	case k.Kind() == reflect.String || implements(k, ownText):
	case k.Kind() >= reflect.Int && k.Kind() <= reflect.Int64:
		o.Raw("propertyNames", fmt.Appendf(nil, `{"pattern":"^-?[0-9]+$","format":"int%d"}`, k.Bits()))
	case k.Kind() >= reflect.Uint && k.Kind() <= reflect.Uintptr:
		o.Raw("propertyNames", fmt.Appendf(nil, `{"pattern":"^[0-9]+$","format":"uint%d"}`, k.Bits()))
	default:
		s.fail(t, "the keys of a map must be strings or integers")
	}
	s.member(o, "additionalProperties", "[]", t.Elem())
}

// quoted writes the schema of a string that holds the JSON of a value of t.
func (s *schemer) quoted(o *wire.Object, t reflect.Type) {
	t, pointer := pointedTo(t)
	class := classOf(t, s.reads)
	switch {
	case !s.reads && class != asBasic && class != asNumber: // the type has a method that may write anything
		return
	case pointer:
		o.Raw("type", []byte(`["string","null"]`))
	default:
		o.Str("type", "string")
	}
	if class == asBasic || class == asNumber {
		o.Str("pattern", `^\S(.*\S)?$`)
		o.Str("contentMediaType", "application/json")
		s.member(o, "contentSchema", "", t)
	}
}

// structure writes a struct inline, or a reference to its definition.
func (s *schemer) structure(o *wire.Object, t reflect.Type) {
	if s.uses[t] > 1 {
		o.Str("$ref", "#/$defs/"+s.name(t))
		return
	}
	s.properties(o, t)
}

func (s *schemer) properties(o *wire.Object, t reflect.Type) {
	o.Str("type", "object")
	o.Key("properties")
	inner := wire.NewObject(o.B)
	var required []string
	for _, f := range fieldsOf(t) {
		if f.sealed {
			if s.reads {
				inner.Raw(f.name, []byte("false"))
			}
			continue
		}
		s.path = append(s.path, "."+f.name)
		inner.Key(f.name)
		p := wire.NewObject(inner.B)
		if f.quoted {
			s.quoted(&p, f.typ)
		} else {
			s.write(&p, f.typ)
		}
		if f.doc != "" {
			p.Str("description", f.doc)
		}
		inner.B = p.End()
		s.path = s.path[:len(s.path)-1]
		if !f.optional {
			required = append(required, f.name)
		}
	}
	o.B = inner.End()
	if len(required) > 0 {
		o.Key("required")
		o.B = wire.AppendStrings(o.B, required)
	}
	o.Bool("additionalProperties", true)
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
	o := wire.NewObject(b)
	for i := 0; i < len(s.shared); i++ { // properties may append to shared
		o.Key(s.names[s.shared[i]])
		inner := wire.NewObject(o.B)
		s.properties(&inner, s.shared[i])
		o.B = inner.End()
	}
	return o.End()
}

func basic(o *wire.Object, t reflect.Type) {
	switch k := t.Kind(); k {
	case reflect.Bool:
		o.Str("type", "boolean")
	case reflect.String:
		o.Str("type", "string")
	case reflect.Float64:
		o.Str("type", "number")
	case reflect.Float32:
		o.Str("type", "number")
		o.Raw("minimum", []byte("-3.4028235e+38"))
		o.Raw("maximum", []byte("3.4028235e+38"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		o.Str("type", "integer")
		o.Int("minimum", -1<<(t.Bits()-1))
		o.Int("maximum", 1<<(t.Bits()-1)-1)
	default:
		o.Str("type", "integer")
		o.Int("minimum", 0)
		o.Raw("maximum", strconv.AppendUint(nil, 1<<(t.Bits()-1)|(1<<(t.Bits()-1)-1), 10))
	}
}
