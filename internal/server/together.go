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
)

// Post is a message to a run.
type Post struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value,omitempty" doc:"any JSON"`
	Key   string          `json:"key,omitempty" doc:"the caller's own key against doubles: the same key is taken in once. The run remembers its newest 10,000 keys, and all keys of the last hour"`
	Who   string          `json:"who,omitempty" minLength:"0"`
}

// Posted is the answer to a message.
type Posted struct {
	ID    string          `json:"id" doc:"of the message"`
	Reply json.RawMessage `json:"reply,omitempty" doc:"with wait: what the run replied" redact:"-"`
}

// Rejection settles a promise with an error.
type Rejection struct {
	Error string `json:"error" minLength:"1"`
	Who   string `json:"who,omitempty" minLength:"0"`
}

// States is a part of the list of shared states.
type States struct {
	States []flawless.State `json:"states"`
	Next   string           `json:"next,omitempty" doc:"name at which the next page begins; missing at the end"`
}

// promisePage is a part of the list of a run's promises.
type promisePage struct {
	Link string `header:"Link" doc:"with rel=next: where the next page is (RFC 8288); missing at the end"`
	Body []flawless.Promise
}

// messagePage is a part of the list of messages that a run has not received.
type messagePage struct {
	Link string `header:"Link" doc:"with rel=next: where the next page is (RFC 8288); missing at the end"`
	Body []flawless.Message
}

// PromisePath names a promise in a path.
type PromisePath struct {
	Token string `path:"token" doc:"token of the promise"`
}

// together has the operations on what runs do with each other and with the outside.
func (a *api) together() {
	huma.Register(a.huma, operation("send-message", http.MethodPost, "/runs/{id}/messages", "Send a message to a run"), a.post)
	huma.Register(a.huma, operation("list-messages", http.MethodGet, "/runs/{id}/messages", "Messages that a run has not received, or never received before its end"),
		func(ctx context.Context, in *struct {
			RunPath
			From  int `query:"from" minimum:"0" doc:"number of the first message"`
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"at most so many; a page ends before it would have more than 1 MiB"`
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
			return page, problem(err)
		})
	huma.Register(a.huma, operation("list-promises", http.MethodGet, "/runs/{id}/promises", "Promises of a run that are not settled"),
		func(ctx context.Context, in *struct {
			RunPath
			From  int `query:"from" minimum:"0" doc:"number of the first call"`
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (*promisePage, error) {
			ps, err := a.engine.Promises(ctx, in.ID)
			ps = slices.DeleteFunc(ps, func(p flawless.Promise) bool { return p.Call < in.From })
			page := &promisePage{Body: ps}
			if len(ps) > in.Limit {
				page.Link = nextLink("/runs/"+url.PathEscape(in.ID)+"/promises", uint64(ps[in.Limit].Call), in.Limit)
				page.Body = ps[:in.Limit]
			}
			return page, problem(err)
		})
	settle := operation("settle-promise", http.MethodPost, "/promises/{token}", "Settle a promise; the body is its value")
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
	huma.Register(a.huma, operation("list-states", http.MethodGet, "/states", "Values that runs share"),
		func(ctx context.Context, in *struct {
			From  string `query:"from" minLength:"0" doc:"next of the page before"`
			Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (*body[States], error) {
			page, next, err := a.engine.States(ctx, in.From, in.Limit)
			return &body[States]{States{page, next}}, problem(err)
		})
	huma.Register(a.huma, operation("get-state", http.MethodGet, "/states/{name}", "A value that runs share, who holds it and who waits"),
		func(ctx context.Context, in *struct {
			Name string `path:"name"`
		}) (*body[flawless.State], error) {
			s, err := a.engine.State(ctx, in.Name)
			return &body[flawless.State]{s}, problem(err)
		})
}

func (a *api) post(ctx context.Context, in *struct {
	RunPath
	Wait bool `query:"wait" doc:"answer when the run has replied"`
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
	return &body[Posted]{out}, problem(err)
}

func (a *api) settle(ctx context.Context, token string, with engine.Settlement, who string) (*body[flawless.Promise], error) {
	p, err := a.engine.Settle(ctx, token, with, who)
	return &body[flawless.Promise]{p}, problem(err)
}
