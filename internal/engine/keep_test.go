package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// sleepCut lets a run sleep for 24 days, of which 21 in the hands of a first server that keeps few
// turns, and returns the second one and what the first has left.
func sleepCut(t *testing.T, damage func(kv store.KV)) (*Engine, []flawless.Record) {
	t.Helper()
	kv := mem.New()
	how := Options{Freezing: Freezing{Turns: 5}, Rest: time.Hour}
	e := open(t, kv, how)
	if s, err := e.ChangeSettings(context.Background(), "guest", func(s *flawless.Settings) { s.KeepTurns = 3 }); err != nil || s.KeepTurns != 3 {
		t.Fatalf("it keeps %d turns, %v", s.KeepTurns, err)
	}
	mustStart(t, e, "sleep", 24, "run")
	time.Sleep(21*24*time.Hour + time.Hour)
	log, err := e.Log(context.Background(), "run", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.Kill()
	if damage != nil {
		damage(kv)
	}
	return open(t, kv, how), log
}

func TestALogIsCutBeforeAnImage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, log := sleepCut(t, nil)
		defer e.Kill()
		cut := log[0].Cut
		if cut == nil || cut.Turns < 10 || log[1].Seq != cut.Next || log[0].Entries[0].Start == nil {
			t.Fatalf("it was not cut: %+v", log[0])
		}
		if first := log[1].Entries; first[0].Turn == nil || first[0].Turn.N != cut.Turns+1 {
			t.Errorf("turn %d is followed by %+v", cut.Turns, first)
		}
		if last := log[len(log)-1].Entries; last[len(last)-1].Turn.N-cut.Turns < 3 {
			t.Errorf("only %d turns are kept", last[len(last)-1].Turn.N-cut.Turns)
		}
		r, err := e.Wait(context.Background(), "run")
		if err != nil || r.Status != flawless.Completed || string(r.Output) != `"576h0m0s"` || r.Turns != 25 {
			t.Fatalf("it is %+v, %v", r, err)
		}
		whole := r.Cost
		if r, err := e.stored(context.Background(), "run"); err != nil || r.Cost != whole || r.Turns != 25 {
			t.Errorf("from its log it has cost %d in %d turns, and %d in 25: %v", r.Cost, r.Turns, whole, err)
		}
		if err := e.verify(context.Background(), "run"); !errors.Is(err, flawless.Refused) || !strings.Contains(err.Error(), "--keep-turns") {
			t.Errorf("replaying it from its start: %v", err)
		}
		for from := range uint64(30) {
			part, err := e.Log(context.Background(), "run", from, 2)
			if err != nil || from > 0 && len(part) > 0 && part[0].Seq != max(from, log[0].Cut.Next) && from < log[0].Cut.Next {
				t.Errorf("from record %d: %+v, %v", from, part, err)
			}
		}
	})
}

func TestACutLogWithoutItsImageSetsTheRunAside(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		e, _ := sleepCut(t, func(kv store.KV) {
			if err := kv.Apply(t.Context(), &store.Batch{Delete: [][]byte{[]byte("frun\x00\x01")}}); err != nil {
				t.Fatal(err)
			}
		})
		defer e.Kill()
		time.Sleep(48 * time.Hour)
		r, err := e.Run(context.Background(), "run")
		if err != nil || r.Status != flawless.Unresolved || !strings.Contains(r.Problem, "--keep-turns") {
			t.Errorf("it is %+v, %v", r, err)
		}
	})
}

func TestAnUpgradeSaysThatALogWasCut(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		e, _ := sleepCut(t, nil)
		defer e.Kill()
		addEdition(t, e, fixed)
		u := mustUpgrade(t, e, Upgrade{})
		if len(u.Runs) != 1 || u.Moved != 0 || u.Runs[0].Verdict != flawless.Untold || !strings.Contains(u.Runs[0].Reason, "--keep-turns") {
			t.Errorf("the report is %+v", u)
		}
		if r, err := e.Wait(context.Background(), "run"); err != nil || r.Status != flawless.Completed {
			t.Errorf("on its old code it is %+v, %v", r, err)
		}
	})
}
