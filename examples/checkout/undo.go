package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// undo is a list of steps to undo.
type undo []made

type made struct{ what, url string }

func (u *undo) push(what, url string) { *u = append(*u, made{what, url}) }

// all undoes all steps, the last one first, even if the run was cancelled. It continues after errors and returns them
// all.
func (u undo) all(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, m := range slices.Backward(u) {
		slog.Info("taking back", "what", m.what)
		if err := remove(ctx, m.url); err != nil {
			errs = append(errs, fmt.Errorf("%s is not taken back: %w", m.what, err))
		}
	}
	return errors.Join(errs...)
}

func remove(ctx context.Context, url string) error {
	again := flawless.Retry{Attempts: 5, Initial: time.Second, Factor: 2, Statuses: []int{502, 503, 504}}
	resp, err := flawless.Do(ctx, flawless.Request{Method: "DELETE", URL: url}, again)
	if err != nil {
		return err
	}
	if !resp.OK() && resp.Status != 404 {
		return &flawless.StatusError{Method: "DELETE", URL: url, Status: resp.Status, Body: resp.Body}
	}
	return nil
}
