package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPulseTellsSinceWhenThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var answers atomic.Pointer[func(ctx context.Context) error]
		answer := func(how func(ctx context.Context) error) { answers.Store(&how) }
		answer(func(context.Context) error { return nil })
		var said []string
		p := &Pulse{Ask: func(ctx context.Context) error { return (*answers.Load())(ctx) }, Every: time.Second, Limit: 2 * time.Second, Changed: func(since time.Time, why string) {
			said = append(said, fmt.Sprint(since.IsZero(), " ", why))
		}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); p.Serve(ctx) }()
		away := func(after, since time.Duration, want string) {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			if at, why := p.Away(); why != want || !at.IsZero() && at.Sub(began) != since {
				t.Errorf("it is away since %v: %q; want %v: %q", at.Sub(began), why, since, want)
			}
		}
		away(1500*time.Millisecond, 0, "")
		answer(func(context.Context) error { return errors.New("refused") })
		away(time.Second, 2*time.Second, "refused")
		answer(func(ctx context.Context) error { <-ctx.Done(); return errors.New("silent") })
		away(4*time.Second, 2*time.Second, "silent")
		answer(func(context.Context) error { return nil })
		away(3*time.Second, 0, "")
		stop()
		<-ended
		if want := []string{"false refused", "true "}; !slices.Equal(said, want) {
			t.Errorf("it tells %q, want %q", said, want)
		}
	})
}
