package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/flawless-engine/flawless"
)

// Schema is a compiled JSON Schema. It may be used concurrently.
type Schema struct {
	compiled *jsonschema.Schema
	unions   map[string]*jsonschema.Schema // the parts with anyOf or oneOf, by their location
}

// Values from outside are checked against the type that the code expects before they are stored: the input of a
// workflow, the value of a promise, and a message that a run waits for. A refused value is not stored, so the sender
// can correct it.

// Violation is a part of a value that does not match its schema.
type Violation struct {
	Field   string `json:"field"` // such as items.0.price, "" is the whole
	Message string `json:"message"`
}

// Violations is the error for a value that does not match its schema. It wraps flawless.Invalid.
type Violations struct {
	What string // for example: the input does not match workflow greet
	List []Violation
}

func (v *Violations) Error() string {
	var b strings.Builder
	b.WriteString(v.What + ": ")
	for i, x := range v.List {
		if i > 0 {
			b.WriteString("; ")
		}
		if x.Field != "" {
			b.WriteString(x.Field + ": ")
		}
		b.WriteString(x.Message)
	}
	return b.String()
}

// Unwrap returns flawless.Invalid.
func (v *Violations) Unwrap() error { return flawless.Invalid }

// ErrFanOut is the error for a schema whose validation would take exponential time.
var ErrFanOut = fmt.Errorf("it applies more than %d schemas to one value; let fewer refer to each other", maxFanOut)

// Compile compiles a JSON Schema, which may refer only to itself.
func Compile(text []byte) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	Rules(c)
	if err := c.AddResource("urn:schema", doc); err != nil {
		return nil, err
	}
	s, err := c.Compile("urn:schema")
	if err != nil {
		return nil, err
	}
	f := measure(s)
	if f.most > maxFanOut {
		return nil, ErrFanOut
	}
	unions := map[string]*jsonschema.Schema{}
	for part := range f.counts {
		if part.AnyOf != nil || part.OneOf != nil {
			unions[part.Location] = part
		}
	}
	return &Schema{s, unions}, nil
}

// Check returns nil if the value matches the schema, otherwise Violations that begin with what. A nil schema still
// requires a value that all decoders read alike.
func Check(s *Schema, text []byte, what string) error {
	v, err := Parse(text)
	if bad := new(Fault); errors.As(err, &bad) {
		return &Violations{What: what, List: []Violation{{bad.Field, bad.Message}}}
	}
	if err != nil {
		return fmt.Errorf("%s: %v: %w", what, err, flawless.Invalid)
	}
	if s == nil {
		return nil
	}
	err = s.compiled.Validate(v)
	if bad := new(jsonschema.ValidationError); errors.As(err, &bad) {
		r := report{unions: s.unions, value: v}
		r.collect(bad)
		return &Violations{What: what, List: r.list}
	}
	return err
}

// report collects the violations of a value.
type report struct {
	unions map[string]*jsonschema.Schema
	value  any // nil inside of a text, where locations do not begin at the whole value
	list   []Violation
}

// collect appends the violations of an error.
func (r *report) collect(e *jsonschema.ValidationError) {
	switch e.ErrorKind.(type) {
	case *kind.PropertyNames:
		return // exact has reported it, with the right location
	case *kind.ContentSchema:
		outer := r.value
		r.value = nil
		defer func() { r.value = outer }()
	}
	if len(e.Causes) == 0 {
		r.add(e.InstanceLocation, reason(e.ErrorKind))
		return
	}
	if branches := r.branches(e); branches != nil {
		r.explain(e, branches)
	} else {
		for _, c := range e.Causes {
			r.collect(c)
		}
	}
	slices.SortStableFunc(r.list, func(a, b Violation) int { return strings.Compare(a.Field, b.Field) })
}

// branches returns the branches of the union that the error is about, or nil for another error.
func (r *report) branches(e *jsonschema.ValidationError) []*jsonschema.Schema {
	union, is := r.unions[e.SchemaURL]
	if !is {
		return nil
	}
	switch e.ErrorKind.(type) {
	case *kind.AnyOf:
		return union.AnyOf
	case *kind.OneOf:
		return union.OneOf
	}
	return nil
}

// add appends a violation. It drops duplicates, because two parts of a schema may report the same one.
func (r *report) add(location []string, message string) {
	if v := (Violation{strings.Join(location, "."), message}); !slices.Contains(r.list, v) {
		r.list = append(r.list, v)
	}
}

// reason describes a violation with exact numbers. The library prints them as float64, where 9223372036854775808 and
// the largest int64 look the same.
func reason(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Maximum:
		return fmt.Sprintf("%s is too large: give at most %s", exactly(k.Got), exactly(k.Want))
	case *kind.Minimum:
		return fmt.Sprintf("%s is too small: give at least %s", exactly(k.Got), exactly(k.Want))
	case *kind.Format:
		if n, is := k.Got.(json.Number); is {
			return fmt.Sprintf("%s is not valid %s: %v", shortened(string(n)), k.Want, k.Err)
		}
	case *kind.FalseSchema:
		return "it is not allowed here"
	}
	return k.LocalizedString(message.NewPrinter(language.English))
}

// exactly formats a number without rounding integers.
func exactly(n *big.Rat) string {
	if n.IsInt() {
		return shortened(n.Num().String())
	}
	f, _ := n.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// shortened cuts a long number so that the error stays readable.
func shortened(number string) string {
	const most = 45 // fits every 128-bit integer
	if len(number) <= most {
		return number
	}
	return fmt.Sprintf("%s… (%d characters)", number[:20], len(number))
}

// SameJSON reports whether two JSON texts have the same value, regardless of member order and number format. Invalid
// texts are the same only if they are equal.
func SameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := numbered(a)
	y, errY := numbered(b)
	return errX == nil && errY == nil && same(x, y)
}

// numbered decodes JSON without rounding numbers: two different 64-bit ids may be the same float64.
func numbered(text []byte) (v any, err error) {
	if !json.Valid(text) {
		return nil, errors.New("it is not valid JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a.String(), b.String())
	}
	return a == b
}

// sameNumber compares two numbers exactly. Numbers outside of the float64 range are the same only if they are written
// alike.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX != nil || errY != nil || x != y || len(a) > maxNumber || len(b) > maxNumber {
		return false
	}
	if x == 0 { // 1e-999999999 as a Rat would have a billion digits
		return strings.Trim(mantissa(a), "-0.") == "" && strings.Trim(mantissa(b), "-0.") == ""
	}
	p, okP := new(big.Rat).SetString(a)
	q, okQ := new(big.Rat).SetString(b)
	return okP && okQ && p.Cmp(q) == 0
}

func mantissa(number string) string {
	m, _, _ := strings.Cut(strings.ToLower(number), "e")
	return m
}
