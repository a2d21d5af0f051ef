package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/value"
)

// misfit checks that an error names the members that do not fit.
func misfit(t *testing.T, err error, want ...value.Violation) {
	t.Helper()
	var v *value.Violations
	if !errors.As(err, &v) || !errors.Is(err, flawless.Invalid) {
		t.Errorf("it is not refused for its type: %v", err)
		return
	}
	if d := cmp.Diff(want, v.List); d != "" {
		t.Error(d)
	}
}

// TestValueThatViolatesSchemaDoesNotSettlePromise: who settles it can correct the value.
func TestValueThatViolatesSchemaDoesNotSettlePromise(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "typed", map[string]string{"how": "promise"}, "p")
	until(t, e, "p", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	open, err := e.Promises(t.Context(), "p")
	if err != nil || len(open) != 1 {
		t.Fatal(open, err)
	}
	settle := func(value string) error {
		_, err := e.Settle(t.Context(), open[0].Token, Settlement{Value: []byte(value)}, "")
		return err
	}
	misfit(t, settle(`{"item":7,"count":"two"}`), value.Violation{Field: "count", Message: "got string, want integer"}, value.Violation{Field: "item", Message: "got number, want string"})
	misfit(t, settle(`"two apples"`), value.Violation{Field: "", Message: "got string, want object"})
	if err := settle(`{"item":"apple","count":2}`); err != nil {
		t.Fatal(err)
	}
	mustComplete(t, e, "p", `"{apple 2}"`)
}

// TestMessageThatViolatesSchemaIsRefused while the run waits for it, and the run keeps waiting.
func TestMessageThatViolatesSchemaIsRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "typed", map[string]string{"how": "message"}, "r")
	until(t, e, "r", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	_, err := e.Send(t.Context(), "r", flawless.Message{Type: "order", Body: flawless.Bytes(`{"item":"apple"}`)})
	misfit(t, err, value.Violation{Field: "", Message: "missing property 'count'"})
	if err == nil || !strings.Contains(err.Error(), "does not fit what it receives as order") {
		t.Errorf("the error is %v", err)
	}
	mustStart(t, e, "typed", map[string]string{"how": "send", "to": "r"}, "s")
	mustComplete(t, e, "s", `"invalid"`) // the call of a run is answered with it
	if r, err := e.Run(t.Context(), "r"); err != nil || r.Mail != 0 || r.Status != flawless.Waiting {
		t.Errorf("it is %+v, %v", r, err)
	}
	mustSend(t, e, "r", "order", `{"item":"apple","count":2}`)
	mustComplete(t, e, "r", `"{apple 2}"`)
}

// TestEarlierMessageThatViolatesSchemaIsKept: it stays for code that takes it.
func TestEarlierMessageThatViolatesSchemaIsKept(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "typed", map[string]string{"how": "later"}, "r")
	until(t, e, "r", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	mustSend(t, e, "r", "order", `"two apples"`)
	mustSend(t, e, "r", "begin", `null`)
	until(t, e, "r", func(r flawless.Run) bool { return r.Status == flawless.Waiting && r.Turns == 2 })
	if r, err := e.Run(t.Context(), "r"); err != nil || r.Mail != 1 {
		t.Errorf("it is %+v, %v", r, err)
	}
	e.Kill()
	e = open(t, kv, Options{}) // what does not fit is found out again
	mustSend(t, e, "r", "order", `{"item":"pear","count":1}`)
	mustComplete(t, e, "r", `"{pear 1}two apples"`)
}

// badOrders fit the JSON Schema of an order and yet no decoder makes one of them, or not all do.
var badOrders = map[string]value.Violation{
	`{"item":"apple","count":2.0}`:              {Field: "count", Message: "2.0 is not written as an integer; use digits only, without fraction or exponent, and not -0"},
	`{"item":"apple","count":1e2}`:              {Field: "count", Message: "1e2 is not written as an integer; use digits only, without fraction or exponent, and not -0"},
	`{"item":"apple","count":2,"Count":"two"}`:  {Field: "", Message: `member "Count" differs from "count" only in case; write "count"`},
	`{"item":"apple","count":"two","count":2}`:  {Field: "", Message: `member "count" appears twice`},
	`{"item":"apple","count":2,"more":[1e309]}`: {Field: "more.0", Message: "the number 1e309 is too large for a 64-bit floating-point number, whose limit is 1.7976931348623157e308; send a string"},
	`{"item":"apple","count":1e999999999}`:      {Field: "count", Message: "the number 1e999999999 is too large for a 64-bit floating-point number, whose limit is 1.7976931348623157e308; send a string"},
	`{"item":"\ud83d","count":2}`:               {Field: "", Message: `the escape \ud83d at byte 9 is half of a surrogate pair without the other half`},
}

// TestUndecodableValuesAreRefused wherever they come in, and nothing is used up.
func TestUndecodableValuesAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "typed", map[string]string{"how": "promise"}, "p")
	mustStart(t, e, "typed", map[string]string{"how": "message"}, "r")
	for _, id := range []string{"p", "r"} {
		until(t, e, id, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	}
	open, err := e.Promises(t.Context(), "p")
	if err != nil || len(open) != 1 {
		t.Fatal(open, err)
	}
	for text, want := range badOrders {
		_, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "order", Input: []byte(text), ID: "never"})
		misfit(t, err, want)
		_, err = e.Schedules().Set(t.Context(), flawless.Schedule{Name: "s", Cron: "@daily", Module: "guest", Workflow: "order", Input: []byte(text)}, false)
		misfit(t, err, want)
		_, err = e.Settle(t.Context(), open[0].Token, Settlement{Value: []byte(text)}, "")
		misfit(t, err, want)
		_, err = e.Send(t.Context(), "r", flawless.Message{Type: "order", Body: flawless.Bytes(text)})
		misfit(t, err, want)
		for of, call := range map[string]int{"p": open[0].Call, "r": 2} {
			_, err = e.Fork(t.Context(), of, Fork{Turn: 1, Answers: []flawless.Decision{{Call: call, Body: []byte(text)}}})
			misfit(t, err, want)
		}
	}
	if _, err := e.Run(t.Context(), "never"); !errors.Is(err, flawless.NotFound) {
		t.Errorf("a run was started: %v", err)
	}
	if _, err := e.Settle(t.Context(), open[0].Token, Settlement{Value: []byte(`{"item":"apple","count":2}`)}, ""); err != nil {
		t.Error(err)
	}
	mustSend(t, e, "r", "order", `{"item":"apple","count":2}`)
	mustComplete(t, e, "p", `"{apple 2}"`)
	mustComplete(t, e, "r", `"{apple 2}"`)
	r := mustEnd(t, e, mustStart(t, e, "order", map[string]any{"item": "pear", "count": 1}, "").ID)
	if string(r.Output) != `"{pear 1}"` {
		t.Errorf("it is %+v", r)
	}
}

// TestUntypedMessagesAreReadable: no schema says what they contain.
func TestUntypedMessagesAreReadable(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "typed", map[string]string{"how": "later"}, "r")
	for text, field := range map[string]string{`{"a":1,"a":2}`: "", `[1e309]`: "0", "\"\xff\"": ""} {
		_, err := e.Send(t.Context(), "r", flawless.Message{Type: "begin", Body: flawless.Bytes(text)})
		if v := new(value.Violations); !errors.As(err, &v) || len(v.List) != 1 || v.List[0].Field != field {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestReceiveAsAnotherType: a call that was given up and waits for one type takes no message from code
// that waits for another.
func TestReceiveAsAnotherType(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "typed", map[string]string{"how": "another type"}, "r")
	until(t, e, "r", func(r flawless.Run) bool {
		d, err := e.Data(t.Context(), "r")
		return err == nil && string(d) == `"waits for text"` && r.Status == flawless.Waiting
	})
	mustSend(t, e, "r", "order", `"two apples"`)
	mustComplete(t, e, "r", `"two apples"`)
}

// TestSchemasAreNotCompared: code whose type has changed continues with an old log.
func TestSchemasAreNotCompared(t *testing.T) {
	t.Parallel()
	a := flawless.Call{Kind: "receive", Head: []byte(`{"type":"order","schema":{"type":"string"},"at":"a.go:1"}`)}
	for _, head := range []string{`{"type":"order"}`, `{"type":"order","schema":{"type":"object"}}`} {
		if b := (flawless.Call{Kind: "receive", Head: []byte(head)}); !a.Same(b) {
			t.Errorf("%s differs", head)
		}
	}
	if a.Same(flawless.Call{Kind: "receive", Head: []byte(`{"type":"other","schema":{"type":"string"}}`)}) {
		t.Error("another type of message does not differ")
	}
}
