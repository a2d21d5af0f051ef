package client

import (
	"context"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Fork says how a run goes on from the past of another one.
type Fork struct {
	Turn    int           `json:"turn"` // the last turn they share; 0 is the start alone
	ID      string        `json:"id,omitempty"`
	Answers []GivenAnswer `json:"answers,omitempty"`
	Module  []byte        `json:"module,omitempty"` // other code; nil is the run's own
	Who     string        `json:"who,omitempty"`
}

// GivenAnswer is another answer to a call of the past that was not delivered in it.
type GivenAnswer struct {
	Call   int            `json:"call"`
	Status int            `json:"status,omitempty"` // of an http call; 0 is 200
	Body   flawless.Bytes `json:"body,omitempty"`
}

type forked struct {
	Run     *flawless.Run
	Offline *flawless.Offline
}

// Fork starts a run that shares the past of another one up to a turn, and goes on for real. With the same id
// it starts one, however often it is asked for.
func (c *Client) Fork(ctx context.Context, id string, o Fork) (flawless.Run, error) {
	o.ID = newID(o.ID)
	out, err := post[forked](ctx, c, runPath(id, "/fork"), nil, o, starts(o.ID))
	if out.Run == nil {
		out.Run = &flawless.Run{}
	}
	return *out.Run, err
}

// Offline tells what a run would do that goes on from a turn with the world closed. Nothing is kept.
func (c *Client) Offline(ctx context.Context, id string, o Fork) (flawless.Offline, error) {
	out, err := post[forked](ctx, c, runPath(id, "/fork"), nil, struct {
		Fork
		Offline bool `json:"offline"`
	}{o, true}, reads())
	if out.Offline == nil {
		out.Offline = &flawless.Offline{}
	}
	return *out.Offline, err
}

// Diff returns the first turn in which two runs differ.
func (c *Client) Diff(ctx context.Context, a, b string) (flawless.Difference, error) {
	return get[flawless.Difference](ctx, c, runPath(a, "/diff/"+url.PathEscape(b)), nil)
}

// Inspect returns what a run was after a turn, 0 being the last one, and with against above 0 how its
// memory differs from that after that turn.
func (c *Client) Inspect(ctx context.Context, id string, turn, against int) (flawless.Inspection, error) {
	q := url.Values{}
	for name, n := range map[string]int{"turn": turn, "against": against} {
		if n != 0 {
			q.Set(name, strconv.Itoa(n))
		}
	}
	return get[flawless.Inspection](ctx, c, runPath(id, "/inspect"), q)
}
