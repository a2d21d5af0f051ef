package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Send sends a message to a run and returns its id. A message with a key that was used before is not stored again.
// Without a key, one is generated. If the answer is lost, the message is sent again with its key, see [Options];
// after [Lost] it may or may not have arrived.
func (c *Client) Send(ctx context.Context, run string, m flawless.Message) (string, error) {
	id, _, err := c.message(ctx, run, m, false)
	return id, err
}

// Ask is [Client.Send], and waits for the reply of the run.
func (c *Client) Ask(ctx context.Context, run string, m flawless.Message) (string, json.RawMessage, error) {
	return c.message(ctx, run, m, true)
}

func (c *Client) message(ctx context.Context, run string, m flawless.Message, wait bool) (string, json.RawMessage, error) {
	m.Key = cmp.Or(m.Key, "msg_"+rand.Text())
	in := map[string]any{"type": m.Type, "value": json.RawMessage(m.Body)}
	if len(m.Body) == 0 {
		in["value"] = nil
	}
	for name, v := range map[string]string{"key": m.Key, "who": m.Who} {
		if v != "" {
			in[name] = v
		}
	}
	out, err := post[struct {
		ID    string
		Reply json.RawMessage
	}](ctx, c, runPath(run, "/messages"), flag("wait", wait), in, known("key", "--key", m.Key, "is delivered once"))
	return out.ID, out.Reply, err
}

// Unread returns the first messages that a run has not received, oldest first: at most limit (0 means 100), and about
// 1 MiB. [flawless.Run.Mail] is their total number.
func (c *Client) Unread(ctx context.Context, run string, limit int) ([]flawless.Message, error) {
	q := url.Values{}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[[]flawless.Message](ctx, c, runPath(run, "/messages"), q)
}

// Promises returns the open promises of a run.
func (c *Client) Promises(ctx context.Context, run string) ([]flawless.Promise, error) {
	all := []flawless.Promise{}
	for from := 0; ; {
		page, more, err := paged[flawless.Promise](ctx, c, runPath(run, "/promises"), url.Values{"from": {strconv.Itoa(from)}, "limit": {"1000"}})
		all = append(all, page...)
		if err != nil || !more || len(page) == 0 {
			return all, err
		}
		from = page[len(page)-1].Call + 1
	}
}

// Settle settles a promise with a value.
func (c *Client) Settle(ctx context.Context, token string, value json.RawMessage) (flawless.Promise, error) {
	return post[flawless.Promise](ctx, c, "/promises/"+url.PathEscape(token), nil, value, settles)
}

// Reject settles a promise with an error.
func (c *Client) Reject(ctx context.Context, token, text, who string) (flawless.Promise, error) {
	return post[flawless.Promise](ctx, c, "/promises/"+url.PathEscape(token)+"/reject", nil, map[string]string{"error": text, "who": who}, settles)
}

// settles is for a request that settles a promise, which is possible only once.
var settles = unique("check whether the promise is still open with: flawless workflow promise list RUN")

// States returns a page of the values that runs share, ordered by name, and the name at which the next page begins,
// or "" at the end.
func (c *Client) States(ctx context.Context, from string, limit int) ([]flawless.State, string, error) {
	q := url.Values{}
	if from != "" {
		q.Set("from", from)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	page, err := get[struct {
		States []flawless.State
		Next   string
	}](ctx, c, "/states", q)
	return page.States, page.Next, err
}

// State returns a value that runs share.
func (c *Client) State(ctx context.Context, name string) (flawless.State, error) {
	return get[flawless.State](ctx, c, "/states/"+url.PathEscape(name), nil)
}
