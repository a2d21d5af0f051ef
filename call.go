package flawless

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"unicode/utf8"
)

// Call is one request of a run to the outside. It is numbered from 1 within its run, in the order
// the guest made it; number 0 is the start, whose answer is the input.
type Call struct {
	N    int             `json:"n" cbor:"1,keyasint"`
	Kind string          `json:"kind" cbor:"2,keyasint"`
	Head json.RawMessage `json:"head,omitempty" cbor:"3,keyasint,omitempty"` // JSON, its form depends on the kind
	Body Bytes           `json:"body,omitempty" cbor:"4,keyasint,omitempty"` // raw
}

// Same tells whether two calls ask for the same: kind, head and body. The number, the call site, whether a
// spawned run is shielded (an older SDK does not say) and how the JSON of the head is written take no part; a
// member that is null is as good as absent.
func (c Call) Same(o Call) bool {
	if c.Kind != o.Kind || !bytes.Equal(c.Body, o.Body) {
		return false
	}
	return bytes.Equal(c.Head, o.Head) || bytes.Equal(plainHead(c.Head), plainHead(o.Head))
}

// plainHead is a head without what takes no part in comparisons.
func plainHead(head []byte) []byte {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(head))
	d.UseNumber()
	if d.Decode(&m) != nil {
		return head
	}
	delete(m, "at")
	delete(m, "shielded")
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	out, err := json.Marshal(m)
	if err != nil {
		return head
	}
	return out
}

// Site is the call site that the head tells, "" where it does not.
func (c Call) Site() string {
	var h struct {
		At string `json:"at"`
	}
	if json.Unmarshal(c.Head, &h) != nil {
		return ""
	}
	return h.At
}

// Answer is what the engine hands back for a call.
type Answer struct {
	Call int             `json:"call" cbor:"1,keyasint"`
	Head json.RawMessage `json:"head,omitempty" cbor:"2,keyasint,omitempty"` // JSON, its form depends on the kind
	Body Bytes           `json:"body,omitempty" cbor:"3,keyasint,omitempty"` // raw
}

// Bytes is a body. In JSON it is a string where it is text, and {"base64": "..."} where it is not.
type Bytes []byte

// MarshalJSON returns the body as JSON.
func (b Bytes) MarshalJSON() ([]byte, error) {
	if utf8.Valid(b) {
		return json.Marshal(string(b))
	}
	return json.Marshal(map[string][]byte{"base64": b})
}

// UnmarshalJSON takes either form.
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
		return fmt.Errorf("a body is a string or {\"base64\": string}: %w", err)
	}
	*b = Bytes(s)
	return nil
}
