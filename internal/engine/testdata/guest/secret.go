package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// confide sends a secret in every place of a request, and spreads whatever comes back.
func confide(ctx context.Context, in Task) (string, error) {
	key := flawless.Secret("TOKEN")
	r, err := flawless.Do(ctx, flawless.Request{Method: "POST", URL: in.URL + "/once?key=" + key, Body: []byte(key),
		Header: flawless.Header{{"Authorization", "Bearer " + key}}})
	if err != nil {
		return "", err
	}
	slog.Info(string(r.Body), "header", r.Header)
	_ = flawless.SetData(string(r.Body))
	_, err = flawless.Get(ctx, in.Dead, flawless.Timeout(time.Second), flawless.RetryFor(0))
	var not *flawless.NotSent
	if !errors.As(err, &not) {
		return "", errors.New("a dead port answers")
	}
	slog.Error("a dead port", "error", err)
	_, err = flawless.Do(ctx, flawless.Request{URL: in.Other, Header: flawless.Header{{"Authorization", key}}})
	if !errors.As(err, &not) || not.Reason != "policy" {
		return "", errors.New("another host was sent a secret")
	}
	time.Sleep(time.Hour)
	return string(r.Body) + err.Error(), nil
}
