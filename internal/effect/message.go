package effect

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// mostType is how long the type of a message may be, in bytes.
const mostType = 200

// CheckMessage returns [flawless.Invalid] where a message of this type and body cannot be sent.
func CheckMessage(kind string, body []byte) error {
	switch {
	case kind == "" || len(kind) > mostType:
		return invalid(Send, "the type of a message has %d bytes, give one of 1 to %d", len(kind), mostType)
	case !json.Valid(body):
		return invalid(Send, "the body of a message is not JSON")
	}
	return nil
}

// Sending is what a `send` call asks for.
type Sending struct {
	To   string `json:"to"`
	Type string `json:"type"`
}

// ParseSend understands a `send` call. Its body is the message, JSON.
func ParseSend(c flawless.Call) (Sending, error) {
	var h Sending
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if err := flawless.CheckID(h.To); err != nil {
		return h, invalid(Send, `member "to": %v`, err)
	}
	return h, CheckMessage(h.Type, c.Body)
}

func checkSend(c flawless.Call) (Policy, error) {
	h, err := ParseSend(c)
	return Policy{Title: "send " + h.Type + " to " + h.To}, err
}

// Receiving is what a `receive` call asks for: the first message of any of these types.
type Receiving struct {
	Type  string   `json:"type"`
	Types []string `json:"types"` // instead of Type
	Until int64    `json:"until"` // no longer than this, Unix nanoseconds; 0 is for ever
	// Schema is the JSON Schema of the message, where the code has a type for it.
	Schema json.RawMessage `json:"schema"`
}

// ParseReceive understands a `receive` call. Types has what it is for.
func ParseReceive(c flawless.Call) (Receiving, error) {
	var h Receiving
	if err := decode(c, &h); err != nil {
		return h, err
	}
	if len(h.Types) == 0 {
		h.Types = []string{h.Type}
	}
	for _, t := range h.Types {
		if err := CheckMessage(t, []byte("null")); err != nil {
			return h, err
		}
	}
	if h.Until < 0 {
		return h, invalid(Receive, `member "until" is %d, give Unix time in nanoseconds`, h.Until)
	}
	return h, checkSchema(Receive, h.Schema)
}

// MaxSchema is how long the schema in the head of a call may be, in bytes.
const MaxSchema = 64 << 10

func checkSchema(kind string, schema []byte) error {
	if len(schema) > MaxSchema {
		return invalid(kind, `member "schema" has %d bytes, give at most %d or leave it out`, len(schema), MaxSchema)
	}
	return nil
}

func checkReceive(c flawless.Call) (Policy, error) {
	h, err := ParseReceive(c)
	return Policy{Title: "receive " + strings.Join(h.Types, " or ")}, err
}

func dueReceive(c flawless.Call, _ time.Time) (time.Time, flawless.Answer, error) {
	h, err := ParseReceive(c)
	if err != nil || h.Until == 0 {
		return time.Time{}, flawless.Answer{}, err
	}
	return time.Unix(0, h.Until), ErrorAnswer(c.N, "expired", "no message came in time"), nil
}

// MessageAnswer hands a message over.
func MessageAnswer(call int, m flawless.Message) flawless.Answer {
	b := appendString([]byte(`{"id":`), m.ID)
	b = appendString(append(b, `,"from":`...), m.From)
	b = appendString(append(b, `,"type":`...), m.Type)
	return flawless.Answer{Call: call, Head: append(b, '}'), Body: m.Body}
}

// ParseReply understands a `reply` call and returns the id of the message it answers. Its body is the
// reply, JSON.
func ParseReply(c flawless.Call) (string, error) {
	var h struct {
		Message string `json:"message"`
	}
	if err := decode(c, &h); err != nil {
		return "", err
	}
	switch {
	case h.Message == "":
		return "", invalid(Reply, `member "message" is missing, the id of the message it answers`)
	case !json.Valid(c.Body):
		return "", invalid(Reply, "the body is not JSON")
	}
	return h.Message, nil
}

func checkReply(c flawless.Call) (Policy, error) {
	id, err := ParseReply(c)
	return Policy{Title: "reply to " + id}, err
}
