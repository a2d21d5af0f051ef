package task

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestGroupWaitsForItsOwnTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all Tasks
		g, other := Group{Tasks: &all}, Group{Tasks: &all}
		gate, long := make(chan struct{}), make(chan struct{})
		var done atomic.Int64
		other.Go(func() { <-long })
		g.Go(func() {
			<-gate
			g.Go(func() { done.Add(1) }) // begins before the first one ends, so it is waited for
		})
		g.Begin()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.WhenNone(ended, func() { t.Error("called while tasks are running") }); !errors.Is(err, context.Canceled) {
			t.Errorf("waiting under an ended context: %v", err)
		}
		waited := make(chan error, 1)
		go func() {
			waited <- g.WhenNone(t.Context(), func() {
				if done.Load() != 1 {
					t.Error("called while a task is running")
				}
			})
		}()
		synctest.Wait()
		close(gate)
		synctest.Wait()
		select {
		case err := <-waited:
			t.Fatalf("it did not wait for the task of a caller: %v", err)
		default:
		}
		g.End()
		if err := <-waited; err != nil {
			t.Error(err)
		}
		close(long)
		all.Wait()
	})
}
