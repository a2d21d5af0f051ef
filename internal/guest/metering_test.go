package guest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestTurnLimitStopsAtTheSameInstruction stops a guest that changes its memory all the time, and
// compares all of it.
func TestTurnLimitStopsAtTheSameInstruction(t *testing.T) {
	t.Parallel()
	const limit = 5<<20 + 12345
	var cost uint64
	var hash [32]byte
	for n, o := range []Options{{}, {}, {copied: true}, {Interpreter: true}} {
		o.TurnUnits = limit
		i := begin(t, load(t, o), "count", 1)
		out := turn(t, i, In{Time: began})
		if out.Ended == nil || out.Ended.Failure == nil || out.Ended.Failure.Kind != "limit" || out.Cost < limit {
			t.Fatalf("%+v: it is %+v", o, out)
		}
		if n > 0 && (out.Cost != cost || i.Hash() != hash) {
			t.Errorf("%+v: it was stopped after %d units, the first one after %d; memory is the same: %v", o, out.Cost, cost, i.Hash() == hash)
		}
		cost, hash = out.Cost, i.Hash()
		i.Release()
	}
}

// TestGarbageCollectionDoesNotWaitForGuests lets a guest compute without end beside 64 that take short turns,
// and collects garbage meanwhile: compiled code cannot be preempted, but it comes by at every
// quantum. Other programs on the machine can hold a thread for as long as they like, so a few late
// collections say nothing.
func TestGarbageCollectionDoesNotWaitForGuests(t *testing.T) {
	const most = 5 * time.Millisecond
	m := load(t, Options{})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	endless := begin(t, m, "count", 1)
	all.Go(func() {
		defer endless.Release()
		_, _ = endless.Turn(ctx, In{Time: began})
	})
	var turns [64]int
	for k := range turns {
		all.Go(func() { turns[k] = chainUntil(ctx, t, m, byte(k)) })
	}
	// A machine that is busy with other things delays collections, too, but not each time; a guest that
	// held them up would do so in every round.
	late, collections := uint64(1), uint64(0)
	for round := 0; round < 8 && late > collections/4; round++ {
		before := stopping()
		for range 5 {
			runtime.GC()
		}
		if late, collections = after(before, stopping(), most); collections < 5 {
			t.Errorf("%d collections: the test proves nothing", collections)
		}
	}
	stop()
	all.Wait()
	if late > collections/4 {
		t.Errorf("%d of %d collections waited for longer than %v until everything had stopped, and no fewer in the rounds before", late, collections, most)
	}
	for k, n := range turns {
		if n < 10 {
			t.Errorf("guest %d took %d turns beside the endless one", k, n)
		}
	}
	t.Logf("%d of %d collections were late; the others took %d turns and more", late, collections, turns[0])
}

// chainUntil takes turns until ctx ends, and returns how many.
func chainUntil(ctx context.Context, t *testing.T, m *Module, seed byte) (n int) {
	i, err := m.Start(t.Context(), Start{Input: []byte(`"chain"`), Seed: bytes.Repeat([]byte{seed}, 32), Time: began})
	if err != nil {
		t.Error(err)
		return 0
	}
	defer i.Release()
	in := In{Time: began}
	for ctx.Err() == nil {
		out, err := i.Turn(t.Context(), in)
		if err != nil || len(out.Calls) != 1 || string(out.Calls[0].Body) != fmt.Sprint(n) {
			t.Errorf("turn %d: %+v %v", n, out, err)
			return n
		}
		in.Answers = []flawless.Answer{reply(out.Calls[0])}
		n++
		runtime.Gosched()
	}
	return n
}

// stopping is how long collections have waited until everything had stopped.
func stopping() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// after counts the stops between two readings, and those of them that took longer than most.
func after(a, b *metrics.Float64Histogram, most time.Duration) (late, all uint64) {
	for k := range b.Counts {
		n := b.Counts[k] - a.Counts[k]
		if all += n; b.Buckets[k] > most.Seconds() {
			late += n
		}
	}
	return late, all
}
