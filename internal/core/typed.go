package core

import (
	"fmt"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/value"
)

// typed is the schema of what a call waits for, compiled when it is first needed.
type typed struct {
	schema   *value.Schema
	compiled bool
	unfit    int // messages up to this number are known not to fit
}

// Fits returns nil where a value fits what a call waits for.
func (c *OpenCall) Fits(schemaText, text []byte, what string) error {
	return c.typed.takes(schemaText, text, what)
}

// takes returns nil where a value fits a schema. A schema that is none checks nothing: the guest made it for itself
// alone.
func (t *typed) takes(schemaText, text []byte, what string) error {
	if len(schemaText) == 0 {
		return nil
	}
	if !t.compiled {
		t.schema, _ = value.Compile(schemaText)
		t.compiled = true
	}
	return value.Check(t.schema, text, what)
}

// CheckAnswer returns nil where somebody may answer a call of a kind other than http with body. Calls that wait for a
// typed value need one; others may have no body.
func CheckAnswer(c flawless.Call, body []byte) error {
	what := fmt.Sprintf("the answer of call %d, of kind %s, does not fit", c.N, c.Kind)
	wanted := schemaOf(c)
	if len(body) == 0 && wanted == nil {
		return nil
	}
	if err := value.Check(nil, body, what); err != nil {
		return err
	}
	return new(typed).takes(wanted, body, what)
}

// wants returns the schema of what a call waits for, nil where it has none.
func schemaOf(c flawless.Call) []byte {
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
