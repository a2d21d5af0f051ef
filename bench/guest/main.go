// Guest contains the workflows of the benchmark.
package main

import (
	"context"
	"slices"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

type Chain struct {
	URL string `json:"url"`
	N   int    `json:"n"`
}

func main() {
	flawless.Workflow("empty", func(context.Context, any) (any, error) { return nil, nil })
	flawless.Workflow("chain", chain)
	flawless.Workflow("held", held)
	flawless.Workflow("sleep", sleep)
	flawless.Workflow("steps", steps)
	flawless.Workflow("ticks", ticks)
	flawless.Workflow("waiting", waiting)
	flawless.Workflow("family", family)
	flawless.Workflow("pingpong", pingpong)
	flawless.Workflow("add", add)
}

var body = []byte(`{"amount":1999,"currency":"EUR"}`)

func chain(ctx context.Context, in Chain) (int, error) {
	for k := range in.N {
		if _, err := flawless.Post(ctx, in.URL, "application/json", body); err != nil {
			return k, err
		}
	}
	return in.N, nil
}

// held is a chain that waits at its end until it is cancelled.
func held(ctx context.Context, in Chain) (int, error) {
	n, err := chain(ctx, in)
	if err == nil {
		err = flawless.Sleep(ctx, 1000*time.Hour)
	}
	return n, err
}

type Sleep struct {
	Milliseconds int `json:"ms"`
}

func sleep(ctx context.Context, in Sleep) (any, error) {
	return nil, flawless.Sleep(ctx, time.Duration(in.Milliseconds)*time.Millisecond)
}

type Steps struct {
	N            int `json:"n"`
	Milliseconds int `json:"ms"`
}

// steps sleeps n times.
func steps(ctx context.Context, in Steps) (any, error) {
	for range in.N {
		if err := flawless.Sleep(ctx, time.Duration(in.Milliseconds)*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

type Ticks struct {
	N    int `json:"n"`
	Then int `json:"then"` // milliseconds to sleep at the end
}

// ticks takes n empty turns and returns the median time of a turn in nanoseconds around turn 10, 100, 1,000 and so on.
func ticks(ctx context.Context, in Ticks) (map[int]int64, error) {
	out := map[int]int64{}
	var window []int64
	last, around := time.Now(), 10
	for k := 1; k <= in.N; k++ {
		if err := flawless.Sleep(ctx, 1); err != nil {
			return out, err
		}
		now := time.Now()
		if reach := around / 2; k > around-reach && k <= around+reach && len(window) < 1000 {
			window = append(window, int64(now.Sub(last)))
		}
		if last = now; k == min(around+around/2, in.N) {
			slices.Sort(window)
			if len(window) > 0 {
				out[around] = window[len(window)/2]
			}
			window, around = window[:0], around*10
		}
	}
	if err := flawless.SetData(out); err != nil {
		return out, err
	}
	return out, flawless.Sleep(ctx, time.Duration(in.Then)*time.Millisecond)
}

// edition is set by the linker, to build two versions of the same code.
var edition = "first"

// waiting is a chain that waits before it ends.
func waiting(ctx context.Context, in Chain) (string, error) {
	if _, err := chain(ctx, in); err != nil {
		return "", err
	}
	time.Sleep(1000 * time.Hour)
	return edition, nil
}

// family spawns n children and waits for them.
func family(ctx context.Context, n int) (int, error) {
	children := make([]*flawless.Child[any], n)
	for k := range children {
		children[k] = flawless.Spawn[any, any](ctx, "empty", nil)
	}
	done, err := flawless.WaitAll(ctx, children...)
	return len(done), err
}

type Game struct {
	N     int    `json:"n"`
	Other string `json:"other,omitempty"` // "" waits for the first message
}

// pingpong sends n messages to another run and waits for a reply to each.
func pingpong(ctx context.Context, in Game) (int, error) {
	first := in.Other == ""
	for k := range in.N {
		if first {
			m, err := flawless.ReceiveMessage[int](ctx, "ball")
			if err != nil {
				return k, err
			}
			in.Other = m.From
		}
		if err := flawless.Send(ctx, in.Other, "ball", k); err != nil {
			return k, err
		}
		if !first {
			if _, err := flawless.Receive[int](ctx, "ball"); err != nil {
				return k, err
			}
		}
	}
	return in.N, nil
}

// add changes a state shared by all its runs.
func add(ctx context.Context, _ any) (any, error) {
	return nil, flawless.State[int]("sum").Update(ctx, func(sum *int) error { *sum++; return nil })
}
