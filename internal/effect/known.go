package effect

import (
	"context"
	"slices"

	"github.com/flawless-engine/flawless"
)

// secretHead is the head of a `secret` call, which asks whether there is a secret of that name.
type secretHead struct {
	Name string `json:"name"`
}

func checkSecret(c flawless.Call) (Policy, error) {
	var h secretHead
	err := decode(c, &h)
	return Policy{Title: "secret " + h.Name, Idempotent: true}, err
}

// hasSecret carries out a `secret` call. Nothing leaves the engine, and the answer does not have the value.
func (c *Client) hasSecret(_ context.Context, t Attempt) Result {
	var h secretHead
	if err := decode(t.Call, &h); err != nil {
		return Result{Outcome: NotSent, Answer: ErrorAnswer(t.Call.N, kindInvalid, err.Error()), Text: err.Error()}
	}
	a := flawless.Answer{Call: t.Call.N, Head: []byte(`{"known":false}`)}
	if c.secrets != nil && slices.ContainsFunc(c.secrets(), func(s flawless.OpenSecret) bool { return s.Name == h.Name }) {
		a.Head = []byte(`{"known":true}`)
	}
	return Result{Outcome: Answered, Answer: a, Text: string(a.Head)}
}
