package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
)

// Post is a message to a run.
type Post struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value,omitempty" doc:"any JSON"`
	Key   string          `json:"key,omitempty" doc:"your own key for the message; the same key is delivered only once. A run remembers its newest 10,000 keys, and all keys of the last hour"`
	Who   string          `json:"who,omitempty" minLength:"0"`
}

// Posted is the answer to a message.
type Posted struct {
	ID    string          `json:"id" doc:"id of the message"`
	Reply json.RawMessage `json:"reply,omitempty" doc:"with wait: the reply of the run" redact:"-"`
}

// messages adds the operations for messages to runs.
func (a *api) messages() {
	huma.Register(a.huma, operation("send-message", http.MethodPost, "/runs/{id}/messages", "Send a message to a run"), a.post)
	huma.Register(a.huma, operation("list-messages", http.MethodGet, "/runs/{id}/messages", "List the messages that a run has not received"),
		func(ctx context.Context, in *struct {
			RunPath
			NumberQuery
		}) (*listed[flawless.Message], error) {
			all, err := a.engine.Unread(ctx, in.ID)
			return byNumber("/runs/"+url.PathEscape(in.ID)+"/messages", all, in.NumberQuery,
				func(m flawless.Message) int { return m.N }, func(m flawless.Message) int { return len(m.Body) }), reply.From(err)
		})
}

// messageKey makes a key for a message whose client has given none.
func messageKey() string { return "msg_" + rand.Text() }

func (a *api) post(ctx context.Context, in *struct {
	RunPath
	Wait bool `query:"wait" doc:"wait for the reply of the run"`
	Body Post
},
) (*body[Posted], error) {
	m := flawless.Message{Type: in.Body.Type, Body: flawless.Bytes(in.Body.Value), Key: forward.Made(ctx, in.Body.Key, messageKey), Who: in.Body.Who}
	if len(m.Body) == 0 {
		m.Body = flawless.Bytes("null")
	}
	var out Posted
	var err error
	if in.Wait {
		out.ID, out.Reply, err = a.engine.Ask(ctx, in.ID, m)
	} else {
		out.ID, err = a.engine.Send(ctx, in.ID, m)
	}
	return &body[Posted]{out}, reply.From(err)
}
