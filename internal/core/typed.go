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

// Fits returns nil if a value fits what a call waits for.
func (c *OpenCall) Fits(schemaText, text []byte, what string) error {
	return c.typed.takes(schemaText, text, what)
}

// takes returns nil if a value fits a schema. An invalid schema checks nothing: the guest made it only for itself.
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

// CheckAnswer returns nil if body may answer a call of a kind other than http. A call that waits for a typed value
// needs a body; others do not.
func CheckAnswer(c flawless.Call, body []byte) error {
	what := fmt.Sprintf("the answer to call %d (%s) does not fit", c.N, c.Kind)
	wanted := schemaOf(c)
	if len(body) == 0 && wanted == nil {
		return nil
	}
	if err := value.Check(nil, body, what); err != nil {
		return err
	}
	return new(typed).takes(wanted, body, what)
}

// schemaOf returns the schema of what a call waits for, or nil.
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
