package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// longRun measures runs with many turns: the time per turn, and how soon they continue after a restart.
func (b *bench) longRun(ctx context.Context) error {
	perTurn := line{Name: "turn of a timer"}
	on := line{Name: "kill -9, start, until it has taken its last turn"}
	up := line{Name: "of that, until the server answers"}
	for k, n := range b.sizes.turns {
		var each, bare []float64
		var turns map[int]int64
		for range b.sizes.repeats {
			r, err := b.long(ctx, n)
			if err != nil {
				return fmt.Errorf("a run of %d turns: %w", n, err)
			}
			each, bare, turns = append(each, millis(r.goesOn)), append(bare, millis(r.up)), r.turns
			if err := b.floors(ctx); err != nil {
				return err
			}
			if n >= 100_000 {
				break // it takes minutes
			}
		}
		f := figure{What: fmt.Sprintf("run of %s turns, kill -9 to its end after a restart", thousands(float64(n))), Value: median(each), Unit: "ms", Samples: each}
		if n == 100_000 {
			f.Goal = &goal{Limit: 200, Target: 50}
		}
		b.put(f)
		on.Points = append(on.Points, [2]float64{float64(n), median(each)})
		up.Points = append(up.Points, [2]float64{float64(n), median(bare)})
		if k < len(b.sizes.turns)-1 {
			continue
		}
		for _, around := range slices.Sorted(maps.Keys(turns)) {
			perTurn.Points = append(perTurn.Points, [2]float64{float64(around), float64(turns[around]) / 1e3})
			b.put(figure{What: "time per turn around turn " + thousands(float64(around)), Value: float64(turns[around]) / 1e3, Unit: "µs"})
		}
	}
	b.plot(plot{"long-turn.svg", "Time per turn of one run", "turn", "µs", []line{perTurn}},
		plot{"long-restart.svg", "A run goes on after a restart", "turns before it", "ms", []line{on, up}})
	return nil
}

// lived is the result of a long run.
type lived struct {
	up, goesOn time.Duration
	turns      map[int]int64 // nanoseconds per turn, around a turn
}

func (b *bench) long(ctx context.Context, n int) (out lived, err error) {
	s, err := b.serve(ctx)
	if err != nil {
		return out, err
	}
	defer s.end()
	const nap = 2000
	in, err := json.Marshal(map[string]int{"n": n, "then": nap})
	if err != nil {
		return out, err
	}
	if _, _, err := s.Start(ctx, client.Start{Module: "bench", Workflow: "ticks", Input: in, ID: "long"}, false); err != nil {
		return out, err
	}
	for { // the run publishes when it has reached the end
		data, err := s.Data(ctx, "long")
		if err == nil {
			if err := json.Unmarshal(data, &out.turns); err != nil {
				return out, err
			}
			break
		}
		if !errors.Is(err, flawless.NotFound) {
			return out, err
		}
		if r, err := s.Run(ctx, "long", false); err != nil || r.Status.Ended() || r.Status == flawless.Unresolved {
			return out, fmt.Errorf("it is %s %+v, %w", r.Status, r.Failure, err)
		}
		<-time.After(20 * time.Millisecond)
	}
	s.kill()
	<-time.After(nap * time.Millisecond)
	began := time.Now()
	if out.up, err = s.up(ctx); err != nil {
		return out, err
	}
	r, err := s.Run(ctx, "long", true)
	if err == nil && r.Status != flawless.Completed {
		err = fmt.Errorf("it is %s: %+v", r.Status, r.Failure)
	}
	out.goesOn = time.Since(began)
	return out, err
}
