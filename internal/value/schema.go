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
type Schema struct{ compiled *jsonschema.Schema }

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
	switch {
	case err != nil:
		return nil, err
	case fanOut(s) > maxFanOut:
		return nil, ErrFanOut
	}
	return &Schema{s}, nil
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
		out := &Violations{What: what}
		collect(bad, &out.List)
		return out
	}
	return err
}

// collect appends the violations of an error. It drops duplicates, because two parts of a schema may report the same
// one.
func collect(e *jsonschema.ValidationError, out *[]Violation) {
	if _, is := e.ErrorKind.(*kind.PropertyNames); is {
		return // exact has reported it, with the right location
	}
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			collect(c, out)
		}
		slices.SortStableFunc(*out, func(a, b Violation) int { return strings.Compare(a.Field, b.Field) })
		return
	}
	if v := (Violation{strings.Join(e.InstanceLocation, "."), reason(e.ErrorKind)}); !slices.Contains(*out, v) {
		*out = append(*out, v)
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
