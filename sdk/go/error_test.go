package flawless

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

func TestCallErrorTypes(t *testing.T) {
	t.Parallel()
	var notSent *NotSent
	if err := callError(&wire.Failure{Kind: "not_sent", Reason: "dial", Message: "not sent: refused"}, "POST", "http://x/", 7); !errors.As(err, &notSent) || err.Error() != "call 7, POST http://x/: not sent (dial): refused" {
		t.Errorf("not_sent: %v", err)
	}
	var interrupted *Interrupted
	if err := callError(&wire.Failure{Kind: "interrupted", Message: "reset", Status: 200, RepeatUntil: 1e9}, "POST", "http://x/", 7); !errors.As(err, &interrupted) || interrupted.Status != 200 || interrupted.RepeatUntil.Unix() != 1 || !strings.Contains(err.Error(), "may or may not") {
		t.Errorf("interrupted: %v", err)
	}
	var other *CallError
	var large *TooLarge
	if err := callError(&wire.Failure{Kind: "too_large", Message: "too long", Status: 200}, "POST", "http://x/", 7); !errors.As(err, &large) || large.Status != 200 ||
		!errors.As(err, &other) || other.Kind != KindTooLarge || err.Error() != "call 7, POST http://x/: answered, do not make it again: too long" {
		t.Errorf("too_large, and it was answered: %v", err)
	}
	if err := callError(&wire.Failure{Kind: "too_large", Message: "too long"}, "POST", "http://x/", 7); !errors.As(err, &other) || other.Kind != KindTooLarge || err.Error() != "call 7, POST http://x/: too long (too_large)" {
		t.Errorf("too_large: %v", err)
	}
}

func TestStatusErrorShortensBody(t *testing.T) {
	t.Parallel()
	e := &StatusError{Method: "GET", URL: "u", Status: 500, Body: []byte(strings.Repeat("x", 199) + "€€")}
	if got, want := e.Error(), "GET u: status 500: "+strings.Repeat("x", 199)+"…"; got != want {
		t.Errorf("got %q", got)
	}
	if got := (&StatusError{Method: "GET", URL: "u", Status: 404}).Error(); got != "GET u: status 404" {
		t.Errorf("got %q", got)
	}
}

func TestWorkflowEndings(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(&Cancelled{By: "ann", Note: "too late"})
	for _, row := range []struct {
		name string
		ctx  context.Context
		run  func(ctx context.Context) (any, error)
		ok   bool
		want string
	}{
		{"a value", t.Context(), func(context.Context) (any, error) { return map[string]string{"a": "<b>"}, nil }, true, `{"a":"<b>"}`},
		{"an error", t.Context(), func(context.Context) (any, error) { return 1, errors.New("no \"luck\"") }, false, `{"kind":"error","message":"no \"luck\""}`},
		{"the cause of a cancellation", cancelled, func(ctx context.Context) (any, error) { return nil, fmt.Errorf("w: %w", context.Cause(ctx)) }, false,
			`{"kind":"cancelled","message":"w: the run was cancelled by ann: too late"}`},
		{"the error of a cancelled context", cancelled, func(ctx context.Context) (any, error) { return nil, ctx.Err() }, false, `{"kind":"cancelled","message":"context canceled"}`},
		{"another error although cancelled", cancelled, func(context.Context) (any, error) { return nil, errors.New("x") }, false, `{"kind":"error","message":"x"}`},
		{"a value although cancelled", cancelled, func(context.Context) (any, error) { return 1, nil }, true, `1`},
		{"a context of its own cancelled", t.Context(), func(context.Context) (any, error) { return nil, context.Canceled }, false, `{"kind":"error","message":"context canceled"}`},
		{"no JSON", t.Context(), func(context.Context) (any, error) { return func() {}, nil }, false,
			`{"kind":"error","message":"the output cannot be written as JSON: json: unsupported type: func()"}`},
	} {
		w := workflow{run: func(ctx context.Context, _ []byte) (any, error) { return row.run(ctx) }}
		w.carryOut(row.ctx, nil, func(end ending) {
			if end.ok != row.ok || string(end.text) != row.want {
				t.Errorf("%s: %v %s, want %v %s", row.name, end.ok, end.text, row.ok, row.want)
			}
		})
	}
}
