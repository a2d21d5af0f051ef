package flawless

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// TestConfirmationPauses checks that a server that contradicts the confirmation is not asked in a busy loop.
func TestConfirmationPauses(t *testing.T) {
	t.Parallel()
	for round, want := range map[int]time.Duration{1: 0, 2: time.Second, 3: 2 * time.Second, 10: 256 * time.Second, 11: 5 * time.Minute, 12: 5 * time.Minute, 1 << 40: 5 * time.Minute} {
		if got := pauseAfter(round); got != want {
			t.Errorf("after round %d it waits %v, want %v", round, got, want)
		}
	}
}

// story runs a confirmation against scripted answers and returns what happened, with the seconds since the start.
func story(t *testing.T, tell bool, cuts []Interrupted, found ...Outcome) (said []string, err error) {
	begun := time.Now()
	say := func(format string, args ...any) {
		said = append(said, fmt.Sprintf("%.0f ", time.Since(begun).Seconds())+fmt.Sprintf(format, args...))
	}
	c := confirmation{tell: tell, timeout: func() time.Duration { return 5 * time.Second }}
	c.send = func(_ context.Context, req *Request) (*Response, int, error) {
		say("send %s", req.Header.Get("Idempotency-Key"))
		if len(cuts) == 0 {
			return &Response{Status: 200}, 9, nil
		}
		cut := cuts[0]
		cuts = cuts[1:]
		return nil, 2, &cut
	}
	c.ask = func(_ context.Context, key string) (Outcome, error) {
		say("ask %s", key)
		answer := found[0]
		if len(found) > 1 {
			found = found[1:]
		}
		return answer, nil
	}
	c.decide = func(_, why string) (wire.Head, []byte, int, error) {
		say("unresolved: %s", why)
		return wire.Head{Status: 202}, nil, 3, nil
	}
	resp, err := c.run(t.Context(), &Request{Method: "POST", URL: "u"})
	if err == nil {
		say("status %d", resp.Status)
	}
	return said, err
}

// TestConfirmPausesAsksAndSends checks that the pause comes before the confirmation, whose answer must be fresh when
// the request is sent, and that a server that always answers 409 is asked until the time for retries has ended, and
// no longer.
func TestConfirmPausesAsksAndSends(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return time.Date(2000, 1, 1, 0, 0, seconds, 0, time.UTC) } // where virtual time begins
	stamp := func(seconds int) string { return at(seconds).UTC().Format(time.RFC3339) }
	busy := func(until int) Interrupted {
		return Interrupted{Key: "k", Status: 409, Message: "409", RepeatUntil: at(until)}
	}
	lost := func(until int) Interrupted { return Interrupted{Key: "k", Message: "lost", RepeatUntil: at(until)} }
	for _, row := range []struct {
		name string
		cuts []Interrupted
		want []string
	}{
		{"busy forever", []Interrupted{lost(3), busy(3), busy(9), busy(9)},
			[]string{"0 send ", "0 ask k", "0 send k", "1 ask k", "1 send k", "3 ask k",
				"3 unresolved: 409; the confirmation says that the request did not happen, but the server was still carrying it out when the time for repeating it ended (" + stamp(3) + ")", "3 status 202"}},
		{"lost forever", []Interrupted{lost(1), lost(9), lost(9)},
			[]string{"0 send ", "0 ask k", "0 send k", "1 ask k",
				"1 unresolved: lost; the confirmation says that the request did not happen, and the time for repeating it ended at " + stamp(1), "1 status 202"}},
		{"asked for the first time after the time", []Interrupted{lost(-60)},
			[]string{"0 send ", "5 ask k", "5 send k", "5 status 200"}},
		{"asked so at the moment at which the time ends", []Interrupted{lost(0)},
			[]string{"0 send ", "5 ask k", "5 send k", "5 status 200"}},
		{"asked so, and sent again in vain", []Interrupted{lost(-60), lost(60)},
			[]string{"0 send ", "5 ask k", "5 send k", "6 ask k",
				"6 unresolved: lost; the confirmation says that the request did not happen, and the time for repeating it ended at " + stamp(-60), "6 status 202"}},
		{"asked so, and the server was still busy", []Interrupted{busy(-60)},
			[]string{"0 send ", "5 ask k",
				"5 unresolved: 409; the confirmation says that the request did not happen, but the server was still carrying it out when the time for repeating it ended (" + stamp(-60) + ")", "5 status 202"}},
		{"another request has the key", []Interrupted{lost(60), {Key: "k", Status: 422, Message: "422", RepeatUntil: at(60)}},
			[]string{"0 send ", "0 ask k", "0 send k", "1 ask k",
				"1 unresolved: 422; the confirmation says that the request did not happen, but the server says that it knows the key", "1 status 202"}},
		{"the first request may have been told from one of another run", []Interrupted{{Key: "k", Status: 422, RepeatUntil: at(60)}},
			[]string{"0 send ", "0 ask k", "0 send k", "0 status 200"}},
		{"an engine that says no time", []Interrupted{{Key: "k"}, {Status: 409}, {Status: 409}},
			[]string{"0 send ", "0 ask k", "0 send k", "1 ask k", "1 send k", "3 ask k", "3 send k", "3 status 200"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			got, err := story(t, false, row.cuts, DidNotHappen())
			if err != nil || !slices.Equal(got, row.want) {
				t.Errorf("%s: %v\n%s\nwant\n%s", row.name, err, strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
		})
	}
}

// TestConfirmReturnsInterrupted checks that with TellInterrupted no person is asked.
func TestConfirmReturnsInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			name  string
			found []Outcome
			cuts  []Interrupted
			want  string
		}{
			{"it cannot tell", []Outcome{CannotTell()}, []Interrupted{{Key: "k", Message: "lost"}}, "lost; nobody could find out whether it took effect"},
			{"the time is over", []Outcome{DidNotHappen()}, []Interrupted{{Key: "k"}, {Message: "lost", RepeatUntil: time.Now()}}, "lost; the confirmation says that the request did not happen, and the time for repeating it ended at "},
		} {
			said, err := story(t, true, row.cuts, row.found...)
			var cut *Interrupted
			if !errors.As(err, &cut) || !strings.HasPrefix(cut.Message, row.want) || strings.Contains(strings.Join(said, " "), "unresolved") {
				t.Errorf("%s: %v, after %q", row.name, err, said)
			}
		}
	})
}

// TestFirstConfirmationSpansTheLimit: a confirmation that is asked before the time for repeating ends, and answers after
// it, does not send the request again. One that is asked after it does, once.
func TestFirstConfirmationSpansTheLimit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		after time.Duration // from now to the end of the time, when the request is cut
		sent  int
	}{
		{"asked before, answered after", time.Second, 1},
		{"asked after", -time.Second, 2},
		{"asked and answered before", time.Hour, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			c := confirmation{tell: true, timeout: func() time.Duration { return time.Minute }}
			c.send = func(context.Context, *Request) (*Response, int, error) {
				if sent++; sent > 1 {
					return &Response{Status: 201}, 2, nil
				}
				return nil, 1, &Interrupted{Key: "k", Message: "lost", RepeatUntil: time.Now().Add(row.after)}
			}
			c.ask = func(context.Context, string) (Outcome, error) {
				time.Sleep(2 * time.Second)
				return DidNotHappen(), nil
			}
			_, err := c.run(t.Context(), &Request{Method: "POST", URL: "u"})
			if sent != row.sent || (err == nil) != (row.sent == 2) {
				t.Errorf("%s: sent %d times, %v", row.name, sent, err)
			}
		})
	}
}

// TestLateChargeIsFound: a charge that lands after the time for repeating it has ended, and soon after the request was
// given up, is found by the confirmation. If the context ends before a time-out has passed, the confirmation is asked
// at once, and only believed if it finds something.
func TestLateChargeIsFound(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		lands   time.Duration // when the charge lands after the request was given up
		ends    time.Duration // when the context ends
		status  int           // of the interruption
		asked   time.Duration
		message string // of the error, "" if there is none
	}{
		{"it lands during the wait", 100 * time.Millisecond, time.Hour, 0, time.Minute, ""},
		{"the context ends, and it has landed", time.Second, 2 * time.Second, 0, 2 * time.Second, ""},
		{"the context ends before it lands", 3 * time.Second, 2 * time.Second, 0, 2 * time.Second, "but it was asked before a time-out had passed"},
		{"the context ends, and a gateway answered", 3 * time.Second, 2 * time.Second, 503, 2 * time.Second, "but it was asked before a time-out had passed"},
		{"the context had ended", 3 * time.Second, 0, 0, 0, "but it was asked before a time-out had passed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), row.ends)
			defer cancel()
			begun, sent, asked := time.Now(), 0, time.Duration(-1)
			c := confirmation{tell: true, timeout: func() time.Duration { return time.Minute }}
			c.send = func(context.Context, *Request) (*Response, int, error) {
				sent++
				return nil, 1, &Interrupted{Key: "k", Message: "lost", Status: row.status, RepeatUntil: begun}
			}
			c.ask = func(context.Context, string) (Outcome, error) {
				if asked = time.Since(begun); asked < row.lands {
					return DidNotHappen(), nil
				}
				return Happened(nil), nil
			}
			_, err := c.run(ctx, &Request{Method: "POST", URL: "u"})
			if sent != 1 || asked != row.asked || (err == nil) != (row.message == "") || err != nil && !strings.Contains(err.Error(), row.message) {
				t.Errorf("%s: sent %d times, asked after %v: %v", row.name, sent, asked, err)
			}
		})
	}
}

// TestLateConfirmationWaitsForTimeout: it waits as long as an attempt at the request may take.
func TestLateConfirmationWaitsForTimeout(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		opts []Option
		left time.Duration // of the context
		want time.Duration
	}{
		{nil, 0, 2 * time.Minute},
		{[]Option{Timeout(9 * time.Minute)}, 0, 9 * time.Minute},
		{[]Option{Timeout(9 * time.Minute)}, time.Hour, 9 * time.Minute},
		{[]Option{Timeout(9 * time.Second)}, time.Second, time.Second},
		{nil, time.Second, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if row.left > 0 {
				var cancel func()
				ctx, cancel = context.WithTimeout(ctx, row.left)
				defer cancel()
			}
			o := gather(ctx, row.opts)
			if err := o.within(ctx, false); err != nil {
				t.Fatal(err)
			}
			if got := o.attemptTime(); got != row.want {
				t.Errorf("with %d options and %v left, it waits %v, want %v", len(row.opts), row.left, got, row.want)
			}
		})
	}
}
