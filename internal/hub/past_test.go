package hub

import (
	"fmt"
	"slices"
	"testing"

	"github.com/flawless-engine/flawless"
)

// TestPastIsKnownForAWhile: since any number, the hub knows which runs have changed, each once, until too many have.
func TestPastIsKnownForAWhile(t *testing.T) {
	t.Parallel()
	h := New()
	defer h.Close()
	for i := range 5 {
		h.Publish(flawless.Run{ID: fmt.Sprint(i % 3)})
	}
	for n, want := range [][]string{{"2", "0", "1"}, {"2", "0", "1"}, {"2", "0", "1"}, {"0", "1"}, {"1"}, nil} {
		if got, now, ok := h.Since(uint64(n)); !ok || now != 5 || !slices.Equal(got, want) {
			t.Errorf("since %d: %v, now %d, %v; want %v", n, got, now, ok, want)
		}
	}
	if _, _, ok := h.Since(6); ok {
		t.Error("a number that comes later is known")
	}
	for i := range Kept {
		h.Publish(flawless.Run{ID: fmt.Sprint("r", i)})
	}
	if _, _, ok := h.Since(4); ok {
		t.Error("more is known than is kept")
	}
	if got, _, ok := h.Since(5); !ok || len(got) != Kept || got[0] != "r0" || got[Kept-1] != fmt.Sprint("r", Kept-1) {
		t.Errorf("since 5: %d runs, %v", len(got), ok)
	}
}

// TestTakenBatchHasItsNumber: a reader that takes a batch knows up to which change it has everything.
func TestTakenBatchHasItsNumber(t *testing.T) {
	t.Parallel()
	h := New()
	defer h.Close()
	w, done := h.Watch()
	defer done()
	for i := range 4 {
		h.Publish(flawless.Run{ID: fmt.Sprint(i % 2), Turns: i})
	}
	got := map[string]int{}
	for upTo := uint64(0); upTo < 4; {
		<-w.More()
		var runs []flawless.Run
		runs, upTo = w.TakeUpTo()
		for _, r := range runs {
			got[r.ID] = r.Turns
		}
		for i := range upTo {
			if got[fmt.Sprint(i%2)] < int(i) {
				t.Errorf("up to change %d, run %d is as of turn %d", upTo, i%2, got[fmt.Sprint(i%2)])
			}
		}
	}
}
