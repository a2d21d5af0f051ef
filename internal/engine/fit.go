package engine

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/value"
)

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

var errFanOut = fmt.Errorf("it applies more than %d schemas to one value; let fewer refer to each other", maxFanOut)

// schema is a compiled JSON Schema. It may be used concurrently.
type schema struct{ compiled *jsonschema.Schema }

// compileSchema compiles a JSON Schema that refers to nothing outside of itself.
func compileSchema(text []byte) (*schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	value.Rules(c)
	if err := c.AddResource("urn:schema", doc); err != nil {
		return nil, err
	}
	s, err := c.Compile("urn:schema")
	switch {
	case err != nil:
		return nil, err
	case fanOut(s) > maxFanOut:
		return nil, errFanOut
	}
	return &schema{s}, nil
}

// fits returns nil where a value fits a schema, which may be nil, else Violations that begin with what. Also
// without a schema a value has to be one that all decoders understand alike.
func fits(s *schema, text []byte, what string) error {
	v, err := value.Parse(text)
	if bad := new(value.Fault); errors.As(err, &bad) {
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

// typed is the schema of what a call waits for, compiled when it is first needed.
type typed struct {
	schema   *schema
	compiled bool
	unfit    int // messages up to this number are known not to fit
}

// fits returns nil where a value fits what a call waits for.
func (c *call) fits(schemaText, text []byte, what string) error {
	return c.typed.takes(schemaText, text, what)
}

// takes returns nil where a value fits a schema. A schema that is none checks nothing: the guest made it for itself
// alone.
func (t *typed) takes(schemaText, text []byte, what string) error {
	if len(schemaText) == 0 {
		return nil
	}
	if !t.compiled {
		t.schema, _ = compileSchema(schemaText)
		t.compiled = true
	}
	return fits(t.schema, text, what)
}

// answers returns nil where somebody may answer a call of a kind other than http with body. Calls that wait for a
// typed value need one; others may have no body.
func answers(c flawless.Call, body []byte) error {
	what := fmt.Sprintf("the answer of call %d, of kind %s, does not fit", c.N, c.Kind)
	wanted := wants(c)
	if len(body) == 0 && wanted == nil {
		return nil
	}
	if err := fits(nil, body, what); err != nil {
		return err
	}
	return new(typed).takes(wanted, body, what)
}

// wants returns the schema of what a call waits for, nil where it has none.
func wants(c flawless.Call) []byte {
	switch c.Kind {
	case effect.Promise:
		if h, err := effect.ParsePromise(c); err == nil {
			return h.Schema
		}
	case effect.Receive:
		if h, err := effect.ParseReceive(c); err == nil {
			return h.Schema
		}
	}
	return nil
}

// readsInput returns nil where the input of a run fits its workflow in a module.
func readsInput(m *guest.Module, begun flawless.Start) error {
	code := flawless.Module{Manifest: m.Manifest()}
	w := code.Workflow(begun.Workflow)
	if w == nil {
		return nil // there are better errors for that
	}
	l := &loading{schemas: map[string]*schema{}}
	return l.checkInput(*w, begun.Input)
}

// refuses returns why none of the calls that wait for messages of this type takes the message. It returns
// nil where there is none: the message then waits for one that it fits.
func (s *state) refuses(m flawless.Message) error {
	var why error
	for _, c := range s.open() {
		if c.Kind != effect.Receive || c.bad != nil || c.given {
			continue
		}
		wanted, err := effect.ParseReceive(c.Call)
		if err != nil || !slices.Contains(wanted.Types, m.Type) {
			continue
		}
		err = c.fits(wanted.Schema, m.Body, fmt.Sprintf("sending to run %s: the message does not fit what it receives as %s", s.id, m.Type))
		if err == nil {
			return nil
		}
		if why == nil {
			why = err
		}
	}
	return why
}
