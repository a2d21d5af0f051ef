// Command guest has the workflows that tests of the console run.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Many is the input of the workflow many.
type Many struct {
	URL  string `json:"url"`
	N    int    `json:"n"`
	Each int    `json:"each"` // calls at once
}

// Order is the input of the workflow order.
type Order struct {
	ID      string   `json:"id" doc:"number of the order"`
	Cents   uint32   `json:"cents"`
	Gift    bool     `json:"gift"`
	Tags    []string `json:"tags,omitempty"`
	Address *Address `json:"address,omitempty"`
}

// Address is a part of it.
type Address struct {
	City string `json:"city"`
}

// Answer is the value of a promise.
type Answer struct {
	Approved bool   `json:"approved"`
	Limit    uint32 `json:"limit"`
}

func main() {
	flawless.Workflow("order", func(_ context.Context, o Order) (Order, error) { return o, nil }, flawless.Doc("Returns the order <b>as it is</b>."))
	flawless.Workflow("ask", func(ctx context.Context, name string) (Answer, error) {
		return flawless.NewPromise[Answer](ctx, name).Wait(ctx)
	})
	flawless.Workflow("hold", func(ctx context.Context, name string) (any, error) {
		return nil, flawless.State[int](name).Update(ctx, func(n *int) error {
			*n++
			return flawless.Sleep(ctx, time.Hour)
		})
	})
	flawless.Workflow("many", many)
	flawless.Workflow("charge", func(ctx context.Context, url string) (string, error) {
		got, err := flawless.PostJSON[any](ctx, url, map[string]string{"card": "<b>tok</b>"})
		return fmt.Sprint(got), err
	})
	flawless.Workflow("late", func(ctx context.Context, in Many) (string, error) { // in doubt at the end of a long log
		if _, err := many(ctx, in); err != nil {
			return "", err
		}
		got, err := flawless.PostJSON[any](ctx, in.URL+"/hang", map[string]int{"after": in.N})
		return fmt.Sprint(got), err
	})
	flawless.Workflow("declined", func(ctx context.Context, url string) (any, error) {
		if _, err := flawless.Spawn[string, string](ctx, "echo", url).Wait(ctx); err != nil {
			return nil, err
		}
		_, err := flawless.Do(ctx, flawless.Request{Method: "GET", URL: url})
		return nil, cmp.Or(err, errors.New("no parcel"))
	})
	flawless.Workflow("fail", func(_ context.Context, text string) (any, error) { return nil, errors.New(text) })
	flawless.Workflow("wait", func(ctx context.Context, hours int) (int, error) {
		return hours, flawless.Sleep(ctx, time.Duration(hours)*time.Hour)
	})
	flawless.Workflow("steps", steps)
	flawless.Workflow("echo", func(_ context.Context, text string) (string, error) {
		return text, flawless.SetData(map[string]string{"said": text})
	})
}

func many(ctx context.Context, in Many) (int, error) {
	for done := 0; done < in.N; done += in.Each {
		var all sync.WaitGroup
		for i := range in.Each {
			all.Go(func() {
				_, _ = flawless.Do(ctx, flawless.Request{Method: "GET", URL: fmt.Sprintf("%s/page/%d", in.URL, done+i)})
			})
		}
		all.Wait()
	}
	return in.N, nil
}

// steps takes n turns after the first one, and publishes other data in each.
func steps(ctx context.Context, n int) ([]int, error) {
	done := []int{}
	for i := range n {
		if err := flawless.SetData(map[string]any{"n": i, "done": done, "<b>": "\u202e"}); err != nil {
			return nil, err
		}
		slog.Info(fmt.Sprintf("step %d", i))
		if err := flawless.Sleep(ctx, time.Millisecond); err != nil {
			return nil, err
		}
		done = append(done, i)
	}
	return done, nil
}
