package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// BenchmarkCallsInFlight shows what the answer of a call, and the next call that is made because of it, cost a run that
// has so many in flight. The answers come one after another, each in a write of its own. The server is a function, so
// what is measured is the engine and the guest, without images.
func BenchmarkCallsInFlight(b *testing.B) {
	for _, n := range []int{10, 1000, 4000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var begun sync.WaitGroup
			next := make(chan struct{}, 1) // one of the first requests may be answered
			kinds := effect.Kinds(effect.Options{})
			http := slices.IndexFunc(kinds, func(k effect.Kind) bool { return k.Name == effect.HTTP })
			kinds[http].Perform = func(_ context.Context, t effect.Attempt) effect.Result {
				if bytes.Contains(t.Call.Head, []byte("/first")) {
					begun.Done()
					<-next
				} else { // the guest has heard of a first one
					next <- struct{}{}
				}
				a, err := effect.ResponseAnswer(t.Call.N, 200, []byte("ok"))
				if err != nil {
					panic(err)
				}
				return effect.Result{Outcome: effect.Answered, Status: 200, Answer: a}
			}
			e := open(b, mem.New(), Options{Kinds: kinds, Freezing: Freezing{Never: true}})
			type want struct {
				Post   string   `json:",omitempty"`
				Beside [][]want `json:",omitempty"`
			}
			posts := make([][]want, n)
			for i := range posts {
				posts[i] = []want{{Post: "http://a.example/first"}, {Post: "http://a.example/second"}}
			}
			for b.Loop() {
				begun.Add(n)
				started := mustStart(b, e, "want", []want{{Beside: posts}}, "")
				begun.Wait()
				next <- struct{}{}
				run, err := e.Wait(b.Context(), started.ID)
				if err != nil || run.Status != flawless.Completed {
					b.Fatalf("the run is %s: %+v, %v", run.Status, run.Failure, err)
				}
				<-next
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/call")
		})
	}
}
