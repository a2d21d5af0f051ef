package client

import (
	"context"
	"net/url"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// Fork says how a fork continues from the history of another run.
type Fork struct {
	Turn    int           `json:"turn"` // the last shared turn; 0 means only the start
	ID      string        `json:"id,omitempty"`
	Answers []GivenAnswer `json:"answers,omitempty"`
	Module  []byte        `json:"module,omitempty"`  // other code; nil means the run's own
	Version int           `json:"version,omitempty"` // number of another version of the run's module, instead of Module
	Who     string        `json:"who,omitempty"`
}

// GivenAnswer replaces the answer to a call that the history has not delivered.
type GivenAnswer struct {
	Call   int            `json:"call"`
	Status int            `json:"status,omitempty"` // of an http call; 0 means 200
	Body   flawless.Bytes `json:"body,omitempty"`
}

type forked struct {
	Run     *flawless.Run
	Offline *flawless.Offline
}

// Fork starts a run that shares the history of another one up to a turn, and continues for real. Repeating it with
// the same id starts only one run.
func (c *Client) Fork(ctx context.Context, id string, o Fork) (flawless.Run, error) {
	o.ID = newID(o.ID)
	out, err := post[forked](ctx, c, runPath(id, "/fork"), nil, o, starts(o.ID))
	if out.Run == nil {
		out.Run = &flawless.Run{}
	}
	return *out.Run, err
}

// Offline returns what a run would do if it continued from a turn without access to the outside. Nothing is stored.
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

// Inspect returns the state of a run after a turn; 0 means the last one. If against is above 0, it also returns how
// its memory differs from that after turn against.
func (c *Client) Inspect(ctx context.Context, id string, turn, against int) (flawless.Inspection, error) {
	return c.inspect(ctx, id, turn, against, url.Values{})
}

// InspectStacks is Inspect that also has the stacks of the calls of guests in other languages than Go, which takes longer.
func (c *Client) InspectStacks(ctx context.Context, id string, turn, against int) (flawless.Inspection, error) {
	return c.inspect(ctx, id, turn, against, url.Values{"stacks": {"true"}})
}

func (c *Client) inspect(ctx context.Context, id string, turn, against int, q url.Values) (flawless.Inspection, error) {
	for name, n := range map[string]int{"turn": turn, "against": against} {
		if n != 0 {
			q.Set(name, strconv.Itoa(n))
		}
	}
	return get[flawless.Inspection](ctx, c, runPath(id, "/inspect"), q)
}

// Find returns where the data, the calls and the log lines of a run contain a text or meet a condition (data.step == "paid"), as the
// log shows them, beginning with the log record from. A page has about limit matches; 0 is 100. [flawless.Matches.Next] is the record with which the next one begins.
func (c *Client) Find(ctx context.Context, id, text string, from uint64, limit int) (flawless.Matches, error) {
	q := url.Values{"text": {text}}
	if from != 0 {
		q.Set("from", strconv.FormatUint(from, 10))
	}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return get[flawless.Matches](ctx, c, runPath(id, "/find"), q)
}
