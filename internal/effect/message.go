package effect

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// maxType is the longest type of a message, in bytes.
const maxType = 200

// CheckMessage returns [flawless.Invalid] if a message of this type and body cannot be sent.
func CheckMessage(kind string, body []byte) error {
	switch {
	case kind == "" || len(kind) > maxType:
		return invalid(Send, "the type of a message has %d bytes, give one of 1 to %d", len(kind), maxType)
	case !json.Valid(body):
		return invalid(Send, "the body of a message is not JSON")
	}
	return nil
}

// SendHead is the head of a `send` call.
type SendHead struct {
	To   string `json:"to"`
	Type string `json:"type"`
}

// ParseSend parses a `send` call. Its body is the message, which is JSON.
func ParseSend(c flawless.Call) (SendHead, error) {
	var h SendHead
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

// ReceiveHead is the head of a `receive` call, which asks for the first message of any of these types.
type ReceiveHead struct {
	Type  string   `json:"type"`
	Types []string `json:"types"` // instead of Type
	Until int64    `json:"until"` // when to stop waiting, Unix nanoseconds; 0 is never
	// Schema is the JSON Schema of the message, empty if the code has no type for it.
	Schema json.RawMessage `json:"schema"`
}

// ParseReceive parses a `receive` call. Types is set, Type need not be.
func ParseReceive(c flawless.Call) (ReceiveHead, error) {
	var h ReceiveHead
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

// MaxSchema is the longest schema in the head of a call, in bytes.
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

// MessageAnswer returns an answer with a message.
func MessageAnswer(call int, m flawless.Message) flawless.Answer {
	b := appendString([]byte(`{"id":`), m.ID)
	b = appendString(append(b, `,"from":`...), m.From)
	b = appendString(append(b, `,"type":`...), m.Type)
	return flawless.Answer{Call: call, Head: append(b, '}'), Body: m.Body}
}

// ParseReply parses a `reply` call and returns the id of the message that it replies to. Its body is the reply, which
// is JSON.
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
