package errand

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/statelock"
)

// fakeRun is a run of this server for the life of ctx.
type fakeRun struct {
	id    string
	ctx   context.Context
	tasks sync.WaitGroup
	redo  chan int
}

func newRun(t *testing.T) (*fakeRun, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	return &fakeRun{id: "a", ctx: ctx, redo: make(chan int, 10)}, cancel
}

func (r *fakeRun) ID() string { return r.id }

func (r *fakeRun) Go(f func(ctx context.Context)) { r.tasks.Go(func() { f(r.ctx) }) }

func (r *fakeRun) Redo(call int) { r.redo <- call }

var target = statelock.Target{Run: "b"}

// deliveries records what is delivered, and fails as long as it is told to.
type deliveries struct {
	mu   sync.Mutex
	got  []int
	fail error
}

func (d *deliveries) deliver(_ context.Context, call int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		d.got = append(d.got, call)
	}
	return d.fail
}

func (d *deliveries) set(fail error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

func (d *deliveries) want(t *testing.T, want ...int) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.got, want) {
		t.Errorf("%v were delivered, want %v", d.got, want)
	}
}

// TestNothingOvertakesInALine: the target of 5 and 7 moves before either is durable, and 7 is the first to learn of it.
func TestNothingOvertakesInALine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := New(new(statelock.Graph))
		r, stop := newRun(t)
		d := &deliveries{fail: flawless.Elsewhere}
		here, again := new(int), new(int)
		for _, call := range []int{5, 7} {
			if !e.Enter(r, target, call, here, d.deliver) {
				t.Fatalf("%d may not go to where nothing else is on its way", call)
			}
		}
		if e.Enter(r, target, 7, here, d.deliver) {
			t.Error("7 goes twice")
		}
		if e.Enter(r, target, 8, again, d.deliver) {
			t.Error("8 goes to where the target is now, ahead of the others")
		}
		e.Queue(r, target, 7, d.deliver)
		d.want(t)
		d.set(nil)
		e.Queue(r, target, 5, d.deliver)
		if !e.Join(r.id, target, 9) {
			t.Error("9 does not go behind the others")
		}
		time.Sleep(lastPause)
		d.want(t, 5, 7, 8, 9)
		if !e.None() || !e.Enter(r, target, 10, again, d.deliver) {
			t.Error("the line does not end")
		}
		e.Leave(r.id, target, 10)
		if !e.None() {
			t.Errorf("%d things are left", e.Count())
		}
		stop()
		r.tasks.Wait()
	})
}

// TestPausesEndWhenShardsCome: a call is tried again at once when shards come here, else after a pause that grows.
func TestPausesEndWhenShardsCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := New(new(statelock.Graph))
		r, stop := newRun(t)
		var tries []time.Duration
		began := time.Now()
		e.Ask(r, 3, target, func(context.Context) error {
			tries = append(tries, time.Since(began))
			return fmt.Errorf("nobody has it: %w", flawless.Elsewhere)
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(tries); n < 10 || n > 16 || tries[1] != firstPause || tries[n-1]-tries[n-2] != lastPause {
			t.Errorf("it was tried at %v", tries)
		}
		n := len(tries)
		time.Sleep(lastPause / 10)
		synctest.Wait()
		for range 3 {
			e.Moved()
			synctest.Wait()
		}
		if len(tries) < n+3 {
			t.Errorf("after the move it was tried %d times", len(tries)-n)
		}
		stop()
		r.tasks.Wait()
		if !e.None() {
			t.Errorf("%d things are left", e.Count())
		}
	})
}

// TestQuestions: one is asked until there is an answer, this server becomes the owner, or nobody wants to know any more.
func TestQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := new(statelock.Graph)
		e := New(g)
		r, stop := newRun(t)
		left := 3
		answers := func(context.Context) error {
			if left--; left > 0 {
				return ErrWaits
			}
			return nil
		}
		e.Ask(r, 1, target, answers)
		e.Ask(r, 1, target, func(context.Context) error { return errors.New("asked twice") })
		synctest.Wait()
		if left != 0 || !e.None() || g.Size() != 0 {
			t.Errorf("%d tries are missing, %d questions are left, %d waits", left, e.Count(), g.Size())
		}

		e.Ask(r, 2, target, func(context.Context) error { return ErrHere })
		if n := <-r.redo; n != 2 || e.Asks(r.id, 2) {
			t.Errorf("call %d is begun again", n)
		}

		running := false
		e.Ask(r, 3, target, func(ctx context.Context) error {
			running = true
			<-ctx.Done()
			time.Sleep(time.Second) // it takes a while to notice
			running = false
			return ErrHere
		})
		synctest.Wait()
		if !e.Asks(r.id, 3) || !running || !g.IsAwaited("b") {
			t.Error("it is not asked")
		}
		if !e.Stop(r.id, 3) || running || e.Stop(r.id, 3) || g.IsAwaited("b") {
			t.Error("it was not stopped, or is still running")
		}

		e.Ask(r, 4, target, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		e.Queue(r, target, 5, func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() })
		e.Abandon(func(run string) bool { return run != r.id })
		if e.Count() != 2 {
			t.Errorf("%d things are left of a run that stays", e.Count())
		}
		e.Abandon(func(run string) bool { return run == r.id })
		if !e.None() || g.Size() != 0 {
			t.Errorf("%d things are left of a run that has gone", e.Count())
		}
		stop()
		r.tasks.Wait()
		if !e.None() || len(r.redo) > 0 {
			t.Errorf("after its end, %d things are left, and %d calls are begun again", e.Count(), len(r.redo))
		}
	})
}
