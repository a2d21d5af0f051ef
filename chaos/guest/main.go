// Command guest has the workflows that run while nodes are attacked: they make every kind of call.
package main

import (
	"context"
	"fmt"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Order is the input of an order.
type Order struct {
	Outside string `json:"outside"` // URL that counts requests
	Ledger  string `json:"ledger"`  // run that is told of it
	Pause   int    `json:"pause"`   // milliseconds
}

// Note is what a ledger is told.
type Note struct {
	From string `json:"from"`
	N    int    `json:"n"`
	Stop bool   `json:"stop"`
}

func main() {
	flawless.Workflow("order", order)
	flawless.Workflow("part", part)
	flawless.Workflow("ledger", ledger)
	flawless.Workflow("one", one)
	flawless.Workflow("asks", asks)
	flawless.Workflow("loses", loses)
	flawless.Workflow("counts", counts)
}

// order makes each kind of call once. Whatever happens to the nodes, the outside must see the charge once, the state must
// grow by one, and the ledger must get both notes in order.
func order(ctx context.Context, o Order) (string, error) {
	id := flawless.RunID()
	if _, err := flawless.Post(ctx, o.Outside+"/reserve/"+id, "text/plain", nil, flawless.Idempotent()); err != nil {
		return "", fmt.Errorf("reserve: %w", err)
	}
	child := flawless.Spawn[Order, string](ctx, "part", o)
	if _, err := flawless.Post(ctx, o.Outside+"/charge/"+id, "text/plain", nil, flawless.NotIdempotent()); err != nil {
		return "", fmt.Errorf("charge: %w", err)
	}
	if err := flawless.Send(ctx, o.Ledger, "note", Note{From: id, N: 1}); err != nil {
		return "", fmt.Errorf("the first note: %w", err)
	}
	if err := flawless.Sleep(ctx, time.Duration(o.Pause)*time.Millisecond); err != nil {
		return "", err
	}
	if err := flawless.State[int]("sold").Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
		return "", fmt.Errorf("the state: %w", err)
	}
	if err := flawless.Send(ctx, o.Ledger, "note", Note{From: id, N: 2}); err != nil {
		return "", fmt.Errorf("the second note: %w", err)
	}
	return child.Wait(ctx)
}

// part is the child of an order.
func part(ctx context.Context, o Order) (string, error) {
	id := flawless.RunID()
	if _, err := flawless.Get(ctx, o.Outside+"/look/"+id); err != nil {
		return "", err
	}
	_, err := flawless.Post(ctx, o.Outside+"/charge/"+id, "text/plain", nil, flawless.NotIdempotent())
	return id, err
}

// ledger returns the notes that it has got, by sender, in the order in which they came.
func ledger(ctx context.Context, _ struct{}) (map[string][]int, error) {
	notes := map[string][]int{}
	for {
		n, err := flawless.Receive[Note](ctx, "note")
		if err != nil {
			return nil, err
		}
		if n.Stop {
			return notes, nil
		}
		notes[n.From] = append(notes[n.From], n.N)
	}
}

// one returns its input.
func one(_ context.Context, n int) (int, error) { return n, nil }

// asks returns the value with which its promise is settled.
func asks(ctx context.Context, _ struct{}) (int, error) {
	return flawless.NewPromise[int](ctx, "n").Wait(ctx)
}

// loses makes a call whose answer is lost, and returns the status that a person gives it.
func loses(ctx context.Context, o Order) (int, error) {
	r, err := flawless.Post(ctx, o.Outside+"/lose/"+flawless.RunID(), "text/plain", nil, flawless.NotIdempotent())
	if err != nil {
		return 0, err
	}
	return r.Status, nil
}

// counts counts a state up, and returns what it is then.
func counts(ctx context.Context, _ struct{}) (n int, err error) {
	err = flawless.State[int]("counted").Update(ctx, func(now *int) error {
		*now++
		n = *now
		return nil
	})
	return n, err
}
