package flawless

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestRequestHeads(t *testing.T) {
	t.Parallel()
	with := With(With(t.Context(), Idempotent(), Limit(5)), TellInterrupted())
	for _, row := range []struct {
		name string
		ctx  context.Context
		req  Request
		opts []Option
		want string
	}{
		{"nothing but a URL", t.Context(), Request{URL: "http://x/"}, nil, `{"method":"GET","url":"http://x/"}`},
		{"fields in order", t.Context(), Request{Method: "PUT", URL: "u", Header: Header{{"B", "1"}, {"a", "\""}}}, nil,
			`{"method":"PUT","url":"u","headers":[["B","1"],["a","\""]]}`},
		{"every option", t.Context(), Request{URL: "u"},
			[]Option{NotIdempotent(), Timeout(1500 * time.Microsecond), Limit(7), TellInterrupted(), Redirects(0),
				Retry{Attempts: 3, Initial: time.Second, Factor: 1.5, Max: time.Minute, Jitter: 0.5, Statuses: []int{502, 503}}},
			`{"method":"GET","url":"u","idempotent":false,"timeout_ms":2,"limit":7,"on_unknown":"tell","redirects":0,` +
				`"retry":{"attempts":3,"initial_ms":1000,"factor":1.5,"max_ms":60000,"jitter":0.5,"statuses":[502,503]}}`},
		{"options of the context", with, Request{URL: "u"}, nil, `{"method":"GET","url":"u","idempotent":true,"limit":5,"on_unknown":"tell"}`},
		{"the call beats the context", with, Request{URL: "u"}, []Option{NotIdempotent()}, `{"method":"GET","url":"u","idempotent":false,"limit":5,"on_unknown":"tell"}`},
		{"one try", t.Context(), Request{URL: "u"}, []Option{Retry{Attempts: 1}}, `{"method":"GET","url":"u","retry":{"attempts":1}}`},
		{"no attempts are no policy", t.Context(), Request{URL: "u"}, []Option{Retry{Initial: 1}}, `{"method":"GET","url":"u"}`},
		{"a time for retries", t.Context(), Request{URL: "u"}, []Option{RetryFor(time.Hour)}, `{"method":"GET","url":"u","retry_for_ms":3600000}`},
		{"no retries", t.Context(), Request{URL: "u"}, []Option{RetryFor(0)}, `{"method":"GET","url":"u","retry_for_ms":0}`},
		{"idempotent within a time", t.Context(), Request{Method: "POST", URL: "u"}, []Option{Idempotent(Within(24 * time.Hour))}, `{"method":"POST","url":"u","key_within_ms":86400000}`},
		{"idempotent again", t.Context(), Request{Method: "POST", URL: "u"}, []Option{Idempotent(Within(time.Hour)), Idempotent()}, `{"method":"POST","url":"u","idempotent":true}`},
	} {
		o := gather(row.ctx, row.opts)
		if got := string(row.req.head(nil, &o, "")); got != row.want || o.problem() != "" {
			t.Errorf("%s:\n got %s %s\nwant %s", row.name, got, o.problem(), row.want)
		}
	}
}

func TestInvalidOptionsAreRejected(t *testing.T) {
	t.Parallel()
	for _, opt := range []Option{
		RetryFor(-1), Idempotent(Within(0)), Idempotent(Within(-1)),
		Timeout(0), Timeout(-1), Limit(0), Redirects(-1), Retry{Attempts: -1}, Retry{Initial: -1}, Retry{Max: -1},
		Retry{Factor: -1}, Retry{Factor: math.Inf(1)}, Retry{Factor: math.NaN()}, Retry{Jitter: -0.1}, Retry{Jitter: math.NaN()},
	} {
		_, err := Get(t.Context(), "http://x/", opt)
		var call *CallError
		if !errors.As(err, &call) || call.Kind != KindInvalid || call.Call != 0 {
			t.Errorf("%#v: got %v", opt, err)
		}
	}
}

func TestCallsOutsideWorkflowFail(t *testing.T) {
	t.Parallel()
	if _, err := Get(t.Context(), "http://x/"); !errors.Is(err, ErrOutside) {
		t.Errorf("Get: %v", err)
	}
	if _, err := PostJSON[any](t.Context(), "http://x/", 1); !errors.Is(err, ErrOutside) {
		t.Errorf("PostJSON: %v", err)
	}
	if _, err := PostJSON[any](t.Context(), "http://x/", func() {}); err == nil || !strings.Contains(err.Error(), "func()") {
		t.Errorf("PostJSON of a function: %v", err)
	}
	if err := SetData(1); !errors.Is(err, ErrOutside) {
		t.Errorf("SetData: %v", err)
	}
	if RunID() != "" {
		t.Errorf("RunID is %q", RunID())
	}
}

func TestHeaderNamesAreCaseInsensitive(t *testing.T) {
	t.Parallel()
	h := Header{{"content-type", "a"}, {"X", "1"}, {"x", "2"}}
	h.Add("X", "3")
	if got := h.Get("Content-Type") + strings.Join(h.Values("x"), ""); got != "a123" {
		t.Errorf("got %q", got)
	}
	h.Set("x", "4")
	if got := strings.Join(h.Values("X"), ""); got != "4" || h.Get("none") != "" {
		t.Errorf("after Set: %q", got)
	}
}
