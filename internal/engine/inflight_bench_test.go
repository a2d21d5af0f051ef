package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// BenchmarkCallsInFlight shows what a call costs a run that has so many in flight: each is answered when all have begun.
// The server is a function, so what is measured is the engine and the guest.
func BenchmarkCallsInFlight(b *testing.B) {
	for _, n := range []int{10, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var begun sync.WaitGroup
			kinds := effect.Kinds(effect.Options{})
			http := slices.IndexFunc(kinds, func(k effect.Kind) bool { return k.Name == effect.HTTP })
			kinds[http].Perform = func(_ context.Context, t effect.Try) effect.Result {
				begun.Done()
				begun.Wait()
				a, err := effect.ResponseAnswer(t.Call.N, 200, []byte("ok"))
				if err != nil {
					panic(err)
				}
				return effect.Result{Outcome: effect.Answered, Status: 200, Answer: a}
			}
			e := open(b, mem.New(), Options{Kinds: kinds})
			type want struct {
				Post   string
				Beside [][]want
			}
			posts := make([][]want, n)
			for i := range posts {
				posts[i] = []want{{Post: "http://a.example/"}}
			}
			for b.Loop() {
				begun.Add(n)
				run, err := e.Wait(b.Context(), mustStart(b, e, "want", []want{{Beside: posts}}, "").ID)
				if err != nil || run.Status != flawless.Completed {
					b.Fatalf("the run is %s: %+v, %v", run.Status, run.Failure, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/call")
		})
	}
}
