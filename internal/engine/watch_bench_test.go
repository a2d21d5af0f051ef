package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// BenchmarkFollowers shows what a start costs while others look on, who write what they see.
func BenchmarkFollowers(b *testing.B) {
	for _, n := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("%d watch all runs", n), func(b *testing.B) {
			e := open(b, mem.New(), Options{})
			ctx, cancel := context.WithCancel(b.Context())
			var all, ready sync.WaitGroup
			for range n {
				ready.Add(1)
				all.Go(func() {
					seq := e.Watch(ctx)
					ready.Done()
					for r, err := range seq {
						if err != nil {
							return
						}
						_ = json.NewEncoder(io.Discard).Encode(r)
					}
				})
			}
			ready.Wait()
			for b.Loop() {
				mustStart(b, e, "empty", 1, "")
			}
			b.StopTimer()
			cancel()
			all.Wait()
		})
		b.Run(fmt.Sprintf("%d follow another run", n), func(b *testing.B) {
			e := open(b, mem.New(), Options{})
			id := mustStart(b, e, "obey", nil, "").ID
			ctx, cancel := context.WithCancel(b.Context())
			var all, ready sync.WaitGroup
			for range n {
				ready.Add(1)
				all.Go(func() {
					first := true
					for r, err := range e.Follow(ctx, id, 0) {
						if first {
							ready.Done()
						}
						if first = false; errors.Is(err, context.Canceled) {
							return
						}
						_ = json.NewEncoder(io.Discard).Encode(r)
					}
				})
			}
			ready.Wait()
			for b.Loop() {
				if _, err := e.Send(b.Context(), id, flawless.Message{Type: "note", Body: []byte("1")}); err != nil {
					b.Fatal(err)
				}
				mustStart(b, e, "empty", 1, "")
			}
			b.StopTimer()
			cancel()
			all.Wait()
		})
	}
}
