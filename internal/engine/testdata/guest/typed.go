package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Order is what a promise is settled with, or a message says.
type Order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

type Typed struct {
	How string `json:"how"`
	To  string `json:"to,omitempty"`
}

// typed waits for an order, or sends one.
func typed(ctx context.Context, in Typed) (string, error) {
	var o Order
	var err error
	switch in.How {
	case "promise":
		o, err = flawless.NewPromise[Order](ctx, "order").Wait(ctx)
	case "message":
		o, err = flawless.Receive[Order](ctx, "order")
	case "later": // orders come before it waits for them
		if _, err := flawless.Receive[any](ctx, "begin"); err != nil {
			return "", err
		}
		if o, err = flawless.Receive[Order](ctx, "order"); err == nil {
			var rest any
			rest, err = flawless.Receive[any](ctx, "order")
			return fmt.Sprint(o, rest), err
		}
	case "another type": // of which there is a call left over
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := flawless.Receive[Order](short, "order"); !errors.Is(err, context.DeadlineExceeded) {
			return "", err
		}
		_ = flawless.SetData("waits for text")
		return flawless.Receive[string](ctx, "order")
	case "send":
		err = flawless.Send(ctx, in.To, "order", "two apples")
		var call *flawless.CallError
		if errors.As(err, &call) {
			return call.Kind, nil
		}
	}
	return fmt.Sprint(o), err
}

// order returns what it was started with.
func order(_ context.Context, in Order) (string, error) { return fmt.Sprint(in), nil }

// orderOfText is order of the edition other.
func orderOfText(_ context.Context, in string) (string, error) { return in, nil }
