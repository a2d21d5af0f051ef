package flawless

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// TestDeadlineBecomesTimeout checks that the earliest of the context's deadline, the option and the engine's default
// applies, and that the default is not written. The deadline does not count for an idempotent call in a step of a
// saga.
func TestDeadlineBecomesTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			name string
			left time.Duration
			opts []Option
			step bool // the call is made in a saga's step
			want string
		}{
			{"a deadline", 1500 * time.Microsecond, nil, false, `,"timeout_ms":2`},
			{"a deadline after the default", 121 * time.Second, nil, false, ""},
			{"a deadline before the option", time.Second, []Option{Timeout(time.Minute)}, false, `,"timeout_ms":1000`},
			{"a deadline after the option", time.Minute, []Option{Timeout(time.Second)}, false, `,"timeout_ms":1000`},
			{"a late deadline after a later option", 5 * time.Minute, []Option{Timeout(time.Hour)}, false, `,"timeout_ms":300000`},
			{"a deadline in a step", time.Second, nil, true, ""},
			{"a deadline before the option in a step", time.Second, []Option{Timeout(time.Minute)}, true, `,"timeout_ms":60000`},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), row.left)
			defer cancel()
			o := gather(ctx, row.opts)
			err := o.within(ctx, row.step)
			req := Request{URL: "u"}
			if got, want := string(req.head(nil, &o, "")), `{"method":"GET","url":"u"`+row.want+"}"; err != nil || got != want {
				t.Errorf("%s: got %s, want %s, %v", row.name, got, want, err)
			}
		}
		mine := errors.New("mine")
		over, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		time.Sleep(time.Second)
		if err := new(options).within(over, false); !errors.Is(err, mine) {
			t.Errorf("a context that has ended: %v", err)
		}
	})
}

// TestOverdueCallReturnsCause checks that a call that timed out returns the cause of a context whose deadline has
// passed, and that any other failure returns its own error.
func TestOverdueCallReturnsCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mine := errors.New("mine")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, mine)
		defer cancel()
		slow, late := wire.Failure{Kind: KindUnknown, Reason: "timeout"}, wire.Failure{Kind: "not_sent", Reason: "timeout"}
		if overdue(ctx, &slow) != nil || overdue(ctx, &late) != nil {
			t.Error("the deadline has not passed")
		}
		time.Sleep(time.Second)
		if overdue(t.Context(), &slow) != nil {
			t.Error("the context has no deadline")
		}
		if overdue(ctx, &slow) != mine || overdue(ctx, &late) != mine {
			t.Error("the deadline has passed")
		}
		for _, e := range []wire.Failure{{Kind: "interrupted", Reason: "timeout"}, {Kind: "not_sent", Reason: "dial"}, {Kind: KindUnknown}} {
			if overdue(ctx, &e) != nil {
				t.Errorf("%+v is not a timeout", e)
			}
		}
	})
}

func TestIdempotentMethods(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true, "PUT": true,
		"DELETE": true, "TRACE": true, "POST": false, "PATCH": false, "PURGE": false} {
		if (&options{}).idempotent(method) != want || !(&options{repeat: always}).idempotent(method) || (&options{repeat: never}).idempotent(method) {
			t.Errorf("%s is idempotent: %v, or an option does not decide it", method, !want)
		}
	}
}

func TestWithdrawHeads(t *testing.T) {
	t.Parallel()
	for want, got := range map[string][]byte{
		`{"call":7,"why":"deadline"}`:                withdrawHead(7, context.DeadlineExceeded, false),
		`{"call":7,"why":"cancelled"}`:               withdrawHead(7, context.Canceled, false),
		`{"call":7,"why":"cancelled","settle":true}`: withdrawHead(7, context.Canceled, true),
	} {
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
