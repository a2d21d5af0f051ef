package flawless

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Call is a request of a run to the outside. Calls are numbered from 1 within their run, in the order in which the
// guest made them. Number 0 is the start, whose answer is the input.
type Call struct {
	N    int             `json:"n" cbor:"1,keyasint"`
	Kind string          `json:"kind" cbor:"2,keyasint"`
	Head json.RawMessage `json:"head,omitempty" cbor:"3,keyasint,omitempty"` // JSON; the members depend on the kind
	Body Bytes           `json:"body,omitempty" cbor:"4,keyasint,omitempty"` // raw
	// Via is the line (file:line) in the workflow, or in the function that its goroutine began with, through which the code came to
	// the call site in the head; "" if that line is the call site, or if it is unknown. It is never compared.
	Via string `json:"via,omitempty" cbor:"5,keyasint,omitempty"`
}

// Site returns the line (file:line) of the workflow that led to the call: Via, or else the call site from the head, or "".
func (c Call) Site() string { return cmp.Or(c.Via, c.Innermost()) }

// Path returns the lines from the workflow to the call site, as far as the log has them: "shop/main.go:60 > shop/pay.go:12".
func (c Call) Path() string {
	at := c.Innermost()
	if c.Via == "" || at == "" {
		return cmp.Or(c.Via, at)
	}
	return c.Via + " > " + at
}

// Innermost returns the call site (file:line) from the head, or "": the line of user code that called the SDK.
func (c Call) Innermost() string {
	var h struct {
		At string `json:"at"`
	}
	if json.Unmarshal(c.Head, &h) != nil {
		return ""
	}
	return h.At
}

// Answer is what the engine returns for a call.
type Answer struct {
	Call int             `json:"call" cbor:"1,keyasint"`
	Head json.RawMessage `json:"head,omitempty" cbor:"2,keyasint,omitempty"` // JSON; the members depend on the kind
	Body Bytes           `json:"body,omitempty" cbor:"3,keyasint,omitempty"` // raw
}

// Bytes is the body of a call or an answer. In JSON it is a string if it is valid UTF-8, otherwise {"base64": "..."}.
type Bytes []byte

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) {
	if utf8.Valid(b) {
		return json.Marshal(string(b))
	}
	return json.Marshal(map[string][]byte{"base64": b})
}

// UnmarshalJSON implements json.Unmarshaler. It accepts both forms.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		var raw struct {
			Base64 []byte `json:"base64"`
		}
		err := json.Unmarshal(text, &raw)
		*b = raw.Base64
		return err
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("a body must be a string or {\"base64\": string}: %w", err)
	}
	*b = Bytes(s)
	return nil
}
