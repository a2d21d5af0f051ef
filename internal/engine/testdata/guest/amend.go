package main

import (
	"context"
	"errors"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// amend takes a step of a saga that is undone by a child, and waits for a message, which fails it. The child
// asks for N seconds of time first.
func amend(ctx context.Context, in Task) (string, error) {
	return "", flawless.InSaga(ctx, func(s *flawless.Saga) error {
		err := s.Step("pay", func(ctx context.Context) error {
			_, err := post(ctx, in.URL+"/charge")
			return err
		}, func(ctx context.Context) error {
			_, err := flawless.Spawn[Task, string](ctx, "refund", in).Wait(ctx)
			return err
		})
		if err != nil {
			return err
		}
		_, err = flawless.Receive[any](ctx, "fail")
		return errors.Join(err, errors.New("as told"))
	}, flawless.UndoRetry{Attempts: 1})
}

func refund(ctx context.Context, in Task) (string, error) {
	if err := flawless.Sleep(ctx, time.Duration(in.N)*time.Second); err != nil {
		return "", err
	}
	return post(ctx, in.URL+"/refund")
}
