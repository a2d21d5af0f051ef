package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/rpc"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestWaitingSurvivesTheOwner waits for a run in every way at an engine that owns nothing, while the run moves in order to
// another owner, and that one crashes.
func TestWaitingSurvivesTheOwner(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		kv := mem.New()
		st, err := store.Open(t.Context(), kv)
		if err != nil {
			t.Fatal(err)
		}
		m := newMesh(st)
		var all [4]*Engine
		for _, i := range []int{1, 0, 2, 3} {
			claim := store.ByForce()
			if i == 1 {
				claim = nil // everything
			}
			all[i] = open(t, kv, Options{Owner: fmt.Sprint("node", i), Claim: claim, Peers: m, Valid: func() bool { return true }})
			m.add(all[i])
		}
		front, shards := all[0], store.AllShards()
		mustStart(t, all[1], "want", ops(receives(), receives(), receives()), "run")
		ended, settled, followed := make(chan flawless.Run, 1), make(chan flawless.Run, 1), make(chan int, 1)
		go func() {
			r, err := front.Wait(t.Context(), "run")
			if err != nil {
				t.Error(err)
			}
			ended <- r
		}()
		go func() {
			r, err := front.Settled(t.Context(), "run")
			if err != nil {
				t.Error(err)
			}
			settled <- r
		}()
		go func() {
			next := uint64(0)
			for rec, err := range front.Follow(t.Context(), "run", 0) {
				if err != nil || rec.Seq != next {
					t.Errorf("record %d instead of %d, %v", rec.Seq, next, err)
				}
				next++
			}
			followed <- int(next)
		}()
		synctest.Wait()
		mustSend(t, all[1], "run", "go", "1")
		if err := all[1].Release(t.Context(), shards...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * rpc.Patience) // nobody owns it
		if err := all[2].Gain(t.Context(), store.ByForce(shards...)); err != nil {
			t.Fatal(err)
		}
		mustSend(t, all[2], "run", "go", "2")
		time.Sleep(time.Second)
		all[2].Kill()
		if err := all[3].Gain(t.Context(), store.ByForce(shards...)); err != nil {
			t.Fatal(err)
		}
		mustSend(t, all[3], "run", "go", "3")
		mustComplete(t, all[3], "run", `"done"`)
		for _, c := range []chan flawless.Run{ended, settled} {
			if r := <-c; r.Status != flawless.Completed {
				t.Errorf("the run is %s for those who waited elsewhere", r.Status)
			}
		}
		log, err := all[3].Log(t.Context(), "run", 0, 0)
		if n := <-followed; err != nil || n != len(log) {
			t.Errorf("a follower saw %d of %d records, %v", n, len(log), err)
		}
	})
}

// TestWaitingWithoutPeersEnds is for engines that do not know each other.
func TestWaitingWithoutPeersEnds(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	other := open(t, kv, Options{Claim: store.ByForce()})
	mustStart(t, e, "want", ops(receives()), "run")
	if _, err := other.Wait(t.Context(), "run"); flawless.CodeOf(err) != flawless.Elsewhere {
		t.Errorf("waiting for a run of another engine: %v", err)
	}
}
