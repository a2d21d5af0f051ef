package clock

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

func TestDueRunsAreWokenAFewAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const runs, takes = 10_000, 5 * time.Millisecond
		var tasks task.Tasks
		var mu sync.Mutex
		at, most, woken := 0, 0, 0
		due := time.Now().Add(time.Second)
		c := New(Options{
			Timers: func(_ context.Context, from, until int64) iter.Seq2[store.Timer, error] {
				return func(yield func(store.Timer, error) bool) {
					for i := range runs {
						if due.UnixNano() < from || due.UnixNano() > until || !yield(store.Timer{ID: fmt.Sprint(i), Wake: due.UnixNano()}, nil) {
							return
						}
					}
				}
			},
			Context: t.Context(), Now: time.Now, Go: tasks.Go, Log: slog.New(slog.DiscardHandler),
			Wake: func(string) {
				mu.Lock()
				at++
				woken++
				most = max(most, at)
				mu.Unlock()
				<-time.After(takes)
				mu.Lock()
				at--
				mu.Unlock()
			},
		})
		tasks.Go(c.Serve)
		limit := atOncePerProcessor * runtime.GOMAXPROCS(0)
		<-time.After(time.Until(due) + (runs/time.Duration(limit)+2)*takes)
		c.Stop()
		tasks.Wait()
		if woken != runs || most != limit {
			t.Errorf("%d runs were woken, at most %d at once; want %d, at most %d", woken, most, runs, limit)
		}
	})
}
