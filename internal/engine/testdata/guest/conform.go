package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// conform makes every kind of call with edge values. sdk/rust/guests/beside has the same in Rust, and
// a test compares the two logs: change both.
func conform(ctx context.Context, url string) (out []string, err error) {
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	requests := []struct {
		req  flawless.Request
		opts []flawless.Option
	}{
		{flawless.Request{URL: url + "/plain?a=b&c=%20"}, nil},
		{flawless.Request{Method: "POST", URL: url + "/ümlaut/\"\\", Header: flawless.Header{{"X-Empty", ""}, {"X-Two", "a"}, {"X-Two", "b \"\\"}}, Body: all}, nil},
		{flawless.Request{Method: "PUT", URL: url + "/empty"}, []flawless.Option{flawless.NotIdempotent(), flawless.Timeout(90*time.Second + time.Nanosecond)}},
		{flawless.Request{Method: "PATCH", URL: url + "/idempotent", Body: []byte("\u2028")}, []flawless.Option{flawless.Idempotent(), flawless.Redirects(0), flawless.TellInterrupted()}},
		{flawless.Request{URL: url + "/retry"}, []flawless.Option{flawless.Retry{Attempts: 3, Initial: time.Millisecond + 1, Factor: 1.5, Max: 2 * time.Second, Jitter: 0.25, Statuses: []int{503, 429}}}},
		{flawless.Request{Method: "POST", URL: url + "/keyed"}, []flawless.Option{flawless.Idempotent(flawless.Within(24 * time.Hour)), flawless.RetryFor(time.Minute + 1), flawless.Retry{Attempts: 1}}},
		{flawless.Request{URL: url + "/long"}, []flawless.Option{flawless.Limit(1)}},
		{flawless.Request{Method: "HEAD", URL: url + "/head"}, []flawless.Option{flawless.Limit(math.MaxInt32)}},
		{flawless.Request{URL: "ftp://no.example/"}, nil},
		{flawless.Request{Method: "GET", URL: ""}, nil},
		{flawless.Request{URL: url + "/never"}, []flawless.Option{flawless.Timeout(0)}},
	}
	for _, r := range requests {
		resp, err := flawless.Do(ctx, r.req, r.opts...)
		var failed *flawless.CallError
		switch {
		case err == nil:
			say("%d %q", resp.Status, resp.Body)
		case errors.As(err, &failed):
			say("%d %s", failed.Call, failed.Kind)
		default:
			return out, err
		}
	}

	slog.Debug("")
	slog.Info("a \"line\"\n", "int", int64(math.MinInt64), "big", uint64(math.MaxUint64), "float", 0.1, "yes", true, "text", "ä\u0000\u2028", "none", nil)
	slog.Warn("tab\t", "float", 1e300)
	slog.Error("\U0001F600")
	for _, v := range []any{nil, "", map[string]any{"ä\"": []any{}}, uint64(math.MaxUint64), -0.5} {
		if err := flawless.SetData(v); err != nil {
			return out, err
		}
	}
	if err := errors.Join(flawless.SetLabel("a/b.c-d_e", "ä \""), flawless.SetLabel("gone", "x"), flawless.SetLabel("gone", "")); err != nil {
		return out, err
	}
	if err := flawless.Sleep(ctx, 0); err != nil {
		return out, err
	}
	if err := flawless.Sleep(ctx, 3*time.Millisecond); err != nil {
		return out, err
	}

	echo := flawless.Spawn[any, string](ctx, "guest/echo", "ü\"\\")
	own := flawless.Spawn[any, string](ctx, "echo", "own", flawless.Detached())
	for _, c := range []*flawless.Child[string]{echo, own, flawless.Await[string](echo.ID())} {
		v, err := c.Wait(ctx)
		if err != nil {
			return out, err
		}
		say("%s", v)
	}
	_, err = flawless.Spawn[any, any](ctx, "nothing/at-all", nil).Wait(ctx)
	say("%s", kindOf(err))

	if err := flawless.Send(ctx, flawless.RunID(), "to me/ä", []int{}); err != nil {
		return out, err
	}
	m, err := flawless.ReceiveMessage[[]int](ctx, "to me/ä")
	if err != nil {
		return out, err
	}
	say("%s %s %s %v", m.ID, m.From, m.Type, m.Value)
	if err := m.Reply(map[string]any{"ä": nil}); err != nil {
		return out, err
	}
	say("%s", kindOf(flawless.Send(ctx, "wkf_nobody", "x", nil)))

	late, err := flawless.NewPromise[any](ctx, "ä \"", flawless.Expires(2*time.Millisecond)).Wait(ctx)
	say("%v %s", late, kindOf(err))

	s := flawless.State[int]("conform ä")
	err = s.Update(ctx, func(n *int) error { *n += 7; return nil })
	if err != nil {
		return out, err
	}
	n, err := s.Get(ctx)
	say("%d %v", n, err == nil)
	return out, nil
}

func kindOf(err error) string {
	var e *flawless.CallError
	if errors.As(err, &e) {
		return e.Kind
	}
	return fmt.Sprint(err)
}

func echo(_ context.Context, s string) (string, error) { return s, nil }
