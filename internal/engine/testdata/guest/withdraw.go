package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Haste is a request that has little time.
type Haste struct {
	URL        string
	Timeout    time.Duration
	Idempotent bool
	Confirm    bool `json:",omitempty"` // it asks what became of it, in vain
	Retry      bool `json:",omitempty"` // every two hours, after a 503
}

// haste does what many client libraries do: it gives a request little time, and makes it again after an
// error.
func haste(ctx context.Context, in Haste) (string, error) {
	var last error
	for i := range 3 {
		ctx, cancel := context.WithTimeout(ctx, in.Timeout)
		if in.Idempotent {
			ctx = flawless.With(ctx, flawless.Idempotent())
		}
		if in.Retry {
			ctx = flawless.With(ctx, flawless.Retry{Attempts: 20, Initial: 2 * time.Hour, Factor: 1, Max: 2 * time.Hour, Statuses: []int{503}})
		}
		if in.Confirm {
			ctx = flawless.With(ctx, flawless.Confirm(func(context.Context, string) (flawless.Outcome, error) { return flawless.CannotTell(), nil }))
		}
		s, err := post(ctx, in.URL)
		cancel()
		if err != nil {
			last = err
			continue
		}
		return fmt.Sprintf("try %d: %s", i+1, s), nil
	}
	return "", last
}

// Behind is a request that a run leaves behind.
type Behind struct {
	URL   string
	Retry bool
	Fail  bool
}

// behind leaves a request behind that heeds no context, and ends on request, or when it is cancelled.
func behind(ctx context.Context, in Behind) (string, error) {
	opts := []flawless.Option{}
	if in.Retry {
		opts = append(opts, flawless.Retry{Attempts: 100, Initial: time.Hour, Factor: 1, Max: time.Hour, Statuses: []int{503}})
	}
	go func() { _, _ = post(context.WithoutCancel(ctx), in.URL, opts...) }()
	_, err := flawless.Receive[any](ctx, "go on")
	if in.Fail {
		err = errors.New("as told")
	}
	return "left", err
}

// undone takes a step that leaves its requests behind when the run is cancelled.
func undone(ctx context.Context, in Task) (string, error) {
	err := flawless.InSaga(ctx, func(s *flawless.Saga) error {
		return s.Step("both", func(ctx context.Context) error {
			go func() { _, _ = post(ctx, in.URL+"/post") }()
			go func() { _, _ = post(ctx, in.URL+"/put", flawless.Idempotent()) }()
			<-ctx.Done()
			return context.Cause(ctx)
		}, func(ctx context.Context) error {
			_, err := post(ctx, in.URL+"/undo")
			return err
		})
	})
	return "", err
}

// Doomed is what the step of a saga does that fails.
type Doomed struct {
	URL   string
	Do    string
	Limit time.Duration // of the step's context; 0: none
}

// doomed takes a step that fails after all that it did, and is undone. It returns what the step was told.
func doomed(ctx context.Context, in Doomed) (told string, err error) {
	failed := errors.New("as told")
	err = flawless.InSaga(ctx, func(s *flawless.Saga) error {
		return s.Step("it", func(ctx context.Context) error {
			outer := ctx
			if in.Limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, in.Limit)
				defer cancel()
			}
			var err error
			switch in.Do {
			case "wait for a child":
				told, err = flawless.Spawn[Task, string](ctx, "work", Task{URL: in.URL}).Wait(ctx)
			case "leave a child":
				flawless.Spawn[Task, string](ctx, "work", Task{URL: in.URL})
			case "leave a detached child":
				flawless.Spawn[Task, string](ctx, "work", Task{URL: in.URL}, flawless.Detached())
			case "put":
				told, err = post(ctx, in.URL+"/slow", flawless.Idempotent())
			case "leave a wait for two children":
				go func() {
					a := flawless.Spawn[Task, string](ctx, "work", Task{URL: in.URL})
					b := flawless.Spawn[Task, string](ctx, "work", Task{URL: in.URL})
					_, _ = flawless.WaitAll(ctx, a, b)
				}()
				_ = flawless.Sleep(ctx, time.Second)
			case "leave a confirmation":
				go func() {
					_, err := post(outer, in.URL+"/cut", flawless.Confirm(
						func(ctx context.Context, _ string) (flawless.Outcome, error) {
							_, err := post(ctx, in.URL+"/ask", flawless.Idempotent())
							return flawless.Happened(nil), err
						}))
					told = fmt.Sprint(err)
				}()
				_ = flawless.Sleep(ctx, time.Second)
			case "leave a saga":
				go func() {
					_ = flawless.InSaga(outer, func(s *flawless.Saga) error {
						return s.Step("inner", func(ctx context.Context) error {
							_, err := post(ctx, in.URL+"/slow")
							return errors.Join(err, failed)
						}, func(ctx context.Context) error {
							_, err := post(ctx, in.URL+"/inner")
							return err
						})
					})
				}()
				_ = flawless.Sleep(ctx, time.Second)
			case "leave what comes too late":
				go func() {
					time.Sleep(2 * time.Second) // the undo is under way
					late := context.WithoutCancel(outer)
					_, err := post(late, in.URL+"/late")
					_, child := flawless.Spawn[Task, string](late, "work", Task{URL: in.URL}).Wait(late)
					saga := flawless.InSaga(late, func(*flawless.Saga) error { return nil })
					told = fmt.Sprint(err, ", ", child, ", ", saga)
				}()
				_ = flawless.Sleep(ctx, time.Second)
			case "leave a retry":
				go func() {
					_, err := post(outer, in.URL+"/busy", flawless.Retry{Attempts: 100, Initial: time.Hour, Factor: 1, Max: time.Hour, Statuses: []int{503}})
					told = fmt.Sprint(err)
					_, _ = post(outer, in.URL+"/more")
				}()
				_ = flawless.Sleep(ctx, time.Second)
			}
			if err != nil {
				told = err.Error()
			}
			return failed
		}, func(ctx context.Context) error {
			_, err := post(ctx, in.URL+"/undo")
			return err
		})
	})
	if !errors.Is(err, failed) {
		return told, err
	}
	if in.Do == "leave what comes too late" {
		time.Sleep(5 * time.Second)
	}
	return told, nil
}

// work takes ten seconds until it has an effect.
func work(ctx context.Context, in Task) (string, error) {
	if err := flawless.Sleep(ctx, 10*time.Second); err != nil {
		return "", err
	}
	return post(ctx, in.URL+"/work")
}

// overdue gives an idempotent request a second, and returns which error it gets.
func overdue(ctx context.Context, in Task) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errors.New("my time is over"))
	defer cancel()
	_, err := post(ctx, in.URL+in.Other, flawless.Idempotent())
	return fmt.Sprintf("%T %v", err, err), nil
}

// withdrawals withdraws requests at every stage of their life, and tells what it was told of each.
func withdrawals(ctx context.Context, in Task) (map[string]string, error) {
	var mu sync.Mutex
	out := map[string]string{}
	told := func(path string, ctx context.Context, opts ...flawless.Option) {
		s, err := post(ctx, in.URL+path, opts...)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			s = "deadline"
		case errors.Is(err, context.Canceled):
			s = "cancelled"
		case err != nil:
			s = err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		out[path] = s
	}
	var wg sync.WaitGroup
	never, cancel := context.WithCancel(ctx)
	wg.Go(func() { told("/never", never) })
	runtime.Gosched()
	cancel() // in the turn that made it
	wg.Wait()
	for path, opts := range map[string][]flawless.Option{
		"/busy":     {flawless.Retry{Attempts: 9, Initial: time.Hour, Max: time.Hour, Statuses: []int{200}}}, // waits for its second try
		"/slow/put": {flawless.Idempotent()},
		"/slow":     nil,
	} {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		wg.Go(func() {
			defer cancel()
			told(path, short, opts...)
		})
	}
	wg.Wait()
	told("/last", ctx)
	return out, nil
}
