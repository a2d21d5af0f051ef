package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
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

// Rejection settles a promise with an error.
type Rejection struct {
	Error string `json:"error" minLength:"1"`
	Who   string `json:"who,omitempty" minLength:"0"`
}

// States is a page of shared states.
type States struct {
	States []flawless.State `json:"states"`
	Next   string           `json:"next,omitempty" doc:"name at which the next page begins; missing on the last page"`
}

// promisePage is a page of the promises of a run.
type promisePage struct {
	Link string `header:"Link" doc:"URL of the next page, with rel=next (RFC 8288); missing on the last page"`
	Body []flawless.Promise
}

// messagePage is a page of the messages that a run has not received.
type messagePage struct {
	Link string `header:"Link" doc:"URL of the next page, with rel=next (RFC 8288); missing on the last page"`
	Body []flawless.Message
}

// PromisePath names a promise in a path.
type PromisePath struct {
	Token string `path:"token" doc:"token of the promise"`
}

// together adds the operations for messages, promises and shared state.
func (a *api) together() {
	huma.Register(a.huma, operation("send-message", http.MethodPost, "/runs/{id}/messages", "Send a message to a run"), a.post)
	huma.Register(a.huma, operation("list-messages", http.MethodGet, "/runs/{id}/messages", "List the messages that a run has not received"),
		func(ctx context.Context, in *struct {
			RunPath
			From  int `query:"from" minimum:"0" doc:"number of the first message"`
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of messages; a page ends before it would exceed 1 MiB"`
		}) (*messagePage, error) {
			ms, err := a.engine.Unread(ctx, in.ID)
			page := &messagePage{}
			size := 0
			for _, m := range ms {
				if m.N < in.From {
					continue
				}
				size += len(m.Body)
				if n := len(page.Body); n == in.Limit || n > 0 && size > maxPage {
					page.Link = nextLink("/runs/"+url.PathEscape(in.ID)+"/messages", uint64(m.N), in.Limit)
					break
				}
				page.Body = append(page.Body, m)
			}
			return page, reply.From(err)
		})
	huma.Register(a.huma, operation("list-promises", http.MethodGet, "/runs/{id}/promises", "List the open promises of a run"),
		func(ctx context.Context, in *struct {
			RunPath
			From  int `query:"from" minimum:"0" doc:"number of the first call"`
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of entries"`
		}) (*promisePage, error) {
			ps, err := a.engine.Promises(ctx, in.ID)
			ps = slices.DeleteFunc(ps, func(p flawless.Promise) bool { return p.Call < in.From })
			page := &promisePage{Body: ps}
			if len(ps) > in.Limit {
				page.Link = nextLink("/runs/"+url.PathEscape(in.ID)+"/promises", uint64(ps[in.Limit].Call), in.Limit)
				page.Body = ps[:in.Limit]
			}
			return page, reply.From(err)
		})
	settle := operation("settle-promise", http.MethodPost, "/promises/{token}", "Settle a promise with the value in the body")
	settle = withPayload(settle, "application/json", true, &huma.Schema{})
	huma.Register(a.huma, settle, func(ctx context.Context, in *struct {
		PromisePath
		Payload
	}) (*body[flawless.Promise], error) {
		return a.settle(ctx, in.Token, engine.Settlement{Value: in.Bytes}, "")
	})
	huma.Register(a.huma, operation("reject-promise", http.MethodPost, "/promises/{token}/reject", "Settle a promise with an error"),
		func(ctx context.Context, in *struct {
			PromisePath
			Body Rejection
		}) (*body[flawless.Promise], error) {
			return a.settle(ctx, in.Token, engine.Settlement{Error: in.Body.Error}, in.Body.Who)
		})
	huma.Register(a.huma, operation("list-states", http.MethodGet, "/states", "List shared states"),
		func(ctx context.Context, in *struct {
			From  string `query:"from" minLength:"0" doc:"next of the previous page"`
			Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of entries"`
		}) (*body[States], error) {
			page, next, err := a.engine.States().States(ctx, in.From, in.Limit)
			return &body[States]{States{page, next}}, reply.From(err)
		})
	huma.Register(a.huma, operation("get-state", http.MethodGet, "/states/{name}", "Get a shared state, who holds it and who waits for it"),
		func(ctx context.Context, in *struct {
			Name string `path:"name" doc:"name of the state"`
		}) (*body[flawless.State], error) {
			s, err := a.engine.States().State(ctx, in.Name)
			return &body[flawless.State]{s}, reply.From(err)
		})
}

func (a *api) post(ctx context.Context, in *struct {
	RunPath
	Wait bool `query:"wait" doc:"wait for the reply of the run"`
	Body Post
},
) (*body[Posted], error) {
	m := flawless.Message{Type: in.Body.Type, Body: flawless.Bytes(in.Body.Value), Key: in.Body.Key, Who: in.Body.Who}
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

func (a *api) settle(ctx context.Context, token string, with engine.Settlement, who string) (*body[flawless.Promise], error) {
	p, err := a.engine.Settle(ctx, token, with, who)
	return &body[flawless.Promise]{p}, reply.From(err)
}
