// Guest has the workflows that the engine's tests run.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

func main() {
	flawless.HonoursKeys("localhost", flawless.Within(24*time.Hour))
	flawless.Workflow("empty", empty)
	flawless.Workflow("swell", swell)
	flawless.Workflow("everything", everything)
	flawless.Workflow("chain", chain)
	flawless.Workflow("sleep", sleep)
	flawless.Workflow("once", once)
	flawless.Workflow("stuck", stuck)
	flawless.Workflow("fail", fail)
	flawless.Workflow("obey", obey)
	flawless.Workflow("leave", leave)
	flawless.Workflow("spin", spin)
	flawless.Workflow("fan", fan)
	flawless.Workflow("script", script)
	flawless.Workflow("together", together)
	flawless.Workflow("helper", helper)
	flawless.Workflow("family", family)
	flawless.Workflow("parent", parent)
	flawless.Workflow("clan", clan)
	flawless.Workflow("orphan", orphan)
	flawless.Workflow("mailbox", mailbox)
	flawless.Workflow("heirs", heirs)
	flawless.Workflow("hasty", hasty)
	flawless.Workflow("impatient", impatient)
	flawless.Workflow("counter", counter)
	flawless.Workflow("lastword", lastWord)
	flawless.Workflow("take", take)
	flawless.Workflow("keep", keep)
	flawless.Workflow("add", add)
	flawless.Workflow("promise", promise)
	flawless.Workflow("itself", itself)
	flawless.Workflow("pingpong", pingpong)
	flawless.Workflow("find", find)
	flawless.Workflow("trip", trip)
	flawless.Workflow("stubborn", stubborn)
	flawless.Workflow("spawn", spawn)
	flawless.Workflow("tell", tell)
	flawless.Workflow("late", late)
	flawless.Workflow("hog", hog)
	flawless.Workflow("sink", sink)
	flawless.Workflow("revised", revised)
	flawless.Workflow("confide", confide)
	flawless.Workflow("label", label)
	flawless.Workflow("insist", insist)
	flawless.Workflow("conform", conform)
	flawless.Workflow("echo", echo)
	flawless.Workflow("site", site)
	flawless.Workflow("outlive", outlive)
	flawless.Workflow("want", want)
	flawless.Workflow("haste", haste)
	flawless.Workflow("behind", behind)
	flawless.Workflow("undone", undone)
	flawless.Workflow("doomed", doomed)
	flawless.Workflow("work", work)
	flawless.Workflow("overdue", overdue)
	flawless.Workflow("withdrawals", withdrawals)
	flawless.Workflow("perish", perish)
	flawless.Workflow("bulky", bulky)
	flawless.Workflow("reveal", reveal)
	flawless.Workflow("typed", typed)
	if edition == "other" {
		flawless.Workflow("order", orderOfText)
	} else {
		flawless.Workflow("order", order)
	}
	flawless.Workflow("bounds", bounds)
	flawless.Workflow("listen", listen)
	flawless.Workflow("amend", amend)
	flawless.Workflow("refund", refund)
	flawless.Workflow("flood", flood)
	flawless.Workflow("wary", wary)
}

func empty(_ context.Context, in any) (any, error) { return in, nil }

type Task struct {
	URL   string `json:"url"`
	Dead  string `json:"dead,omitempty"`  // nobody listens there
	Other string `json:"other,omitempty"` // another server
	N     int    `json:"n,omitempty"`
	Tell  bool   `json:"tell,omitempty"`
}

type Result struct {
	Once, Put, Get, NotSent, Told string
	Draw                          int
	Slept                         bool
}

func post(ctx context.Context, url string, opts ...flawless.Option) (string, error) {
	r, err := flawless.Post(ctx, url, "text/plain", []byte("body"), opts...)
	if err != nil {
		return "", err
	}
	return string(r.Body), nil
}

// everything makes every kind of call.
func everything(ctx context.Context, in Task) (out Result, err error) {
	slog.Info("begins", "n", in.N)
	out.Draw = rand.IntN(1 << 30)
	if out.Once, err = post(ctx, in.URL+"/once"); err != nil {
		return out, err
	}
	_ = flawless.SetData(map[string]string{"after": "once"})
	if out.Put, err = post(ctx, in.URL+"/idempotent", flawless.Idempotent()); err != nil {
		return out, err
	}
	_, err = post(ctx, in.Dead, flawless.RetryFor(0))
	var not *flawless.NotSent
	if !errors.As(err, &not) {
		return out, fmt.Errorf("a dead port: %v", err)
	}
	out.NotSent = not.Reason
	began := time.Now()
	time.Sleep(3 * time.Millisecond)
	out.Slept = time.Since(began) >= 3*time.Millisecond
	var wg sync.WaitGroup
	wg.Go(func() {
		r, e := flawless.Get(ctx, in.URL+"/get")
		if e == nil {
			out.Get = string(r.Body)
		}
	})
	wg.Go(func() {
		s, e := post(ctx, in.URL+"/told", flawless.TellInterrupted())
		var cut *flawless.Interrupted
		switch {
		case errors.As(e, &cut):
			out.Told = "interrupted"
		case e != nil:
			out.Told = e.Error()
		default:
			out.Told = s
		}
	})
	wg.Wait()
	_ = flawless.SetData(map[string]string{"after": "all"})
	_ = flawless.SetLabel("after", "all")
	return out, nil
}

func chain(ctx context.Context, in Task) (int, error) {
	for k := range in.N {
		if _, err := post(ctx, in.URL+"/once"); err != nil {
			return k, err
		}
	}
	return in.N, nil
}

func sleep(ctx context.Context, days int) (string, error) {
	began := time.Now()
	for range days {
		time.Sleep(24 * time.Hour)
		slog.Info("another day")
	}
	return time.Since(began).String(), nil
}

func once(ctx context.Context, in Task) (string, error) {
	if in.Tell {
		s, err := post(ctx, in.URL, flawless.TellInterrupted())
		var cut *flawless.Interrupted
		if errors.As(err, &cut) {
			return "interrupted", nil
		}
		return s, err
	}
	return post(ctx, in.URL)
}

func stuck(context.Context, any) (any, error) {
	<-make(chan int)
	return nil, nil
}

func fail(_ context.Context, how string) (any, error) {
	if how == "panic" {
		panic("boom")
	}
	return nil, errors.New(how)
}

func obey(ctx context.Context, _ any) (any, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(1000 * time.Hour):
		return "late", nil
	}
}

// leave ends while its call is in flight.
func leave(ctx context.Context, in Task) (string, error) {
	go func() { _, _ = post(ctx, in.URL+"/once") }()
	time.Sleep(time.Millisecond)
	return "left", nil
}

func spin(context.Context, any) (any, error) {
	for {
	}
}

func fan(ctx context.Context, in Task) (int, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := 0
	for range in.N {
		wg.Go(func() {
			if s, err := post(ctx, in.URL+"/once"); err == nil {
				mu.Lock()
				defer mu.Unlock()
				sum += len(s)
			}
		})
	}
	wg.Wait()
	return sum, nil
}

// Step is one of a script: a request, a sleep, or steps side by side.
type Step struct {
	Post  string `json:"post,omitempty"`  // not idempotent
	Put   string `json:"put,omitempty"`   // idempotent
	Sleep int    `json:"sleep,omitempty"` // microseconds
	Data  int    `json:"data,omitempty"`
	Both  []Step `json:"both,omitempty"`
}

type Script struct {
	URL   string `json:"url"`
	Steps []Step `json:"steps"`
}

// script carries out what it is given, and returns what it was answered.
func script(ctx context.Context, in Script) ([]string, error) {
	var mu sync.Mutex
	var got []string
	var do func(Step)
	do = func(s Step) {
		for _, path := range []struct {
			path string
			opts []flawless.Option
		}{{s.Post, nil}, {s.Put, []flawless.Option{flawless.Idempotent()}}} {
			if path.path == "" {
				continue
			}
			r, err := post(ctx, in.URL+path.path, path.opts...)
			if err != nil {
				r = "error: " + err.Error()
			}
			mu.Lock()
			got = append(got, r)
			mu.Unlock()
		}
		if s.Sleep > 0 {
			time.Sleep(time.Duration(s.Sleep) * time.Microsecond)
		}
		if s.Data > 0 {
			_ = flawless.SetData(s.Data)
		}
		var wg sync.WaitGroup
		for _, b := range s.Both {
			wg.Go(func() { do(b) })
		}
		wg.Wait()
	}
	for _, s := range in.Steps {
		do(s)
	}
	return got, nil
}
