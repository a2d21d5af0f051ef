package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/flawless-engine/flawless"
)

// Schema is a compiled JSON Schema. It may be used concurrently.
type Schema struct{ compiled *jsonschema.Schema }

// What comes from outside is checked against the type that the code has for it before it is taken in: the
// input of a workflow, the value of a promise, and a message that a run waits for. What is refused is not
// stored, so that the sender can correct it.

// Violation is a member of a value that does not fit its schema.
type Violation struct {
	Field   string `json:"field"` // such as items.0.price, "" is the whole
	Message string `json:"message"`
}

// Violations is the error for a value that does not fit. It wraps flawless.Invalid.
type Violations struct {
	What string // such as: the input does not fit workflow greet
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

// ErrFanOut is the error for a schema that would take exponential time.
var ErrFanOut = fmt.Errorf("it applies more than %d schemas to one value; let fewer refer to each other", maxFanOut)

// Compile compiles a JSON Schema that refers to nothing outside of itself.
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

// Check returns nil where a value fits a schema, which may be nil, else Violations that begin with what. Also
// without a schema a value has to be one that all decoders understand alike.
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

func collect(e *jsonschema.ValidationError, out *[]Violation) {
	if len(e.Causes) == 0 {
		p := message.NewPrinter(language.English)
		*out = append(*out, Violation{strings.Join(e.InstanceLocation, "."), e.ErrorKind.LocalizedString(p)})
		return
	}
	for _, c := range e.Causes {
		collect(c, out)
	}
	slices.SortStableFunc(*out, func(a, b Violation) int { return strings.Compare(a.Field, b.Field) })
}

// SameJSON tells whether two texts are the same JSON, however it is written. Texts that are not JSON
// are the same where they are equal.
func SameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}
