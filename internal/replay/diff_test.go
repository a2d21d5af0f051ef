package replay

import (
	"iter"
	"slices"
	"testing"

	"github.com/flawless-engine/flawless"
)

// turns is a log of n turns, each of which gets the answer to the call of the one before. read counts records.
func turns(n, other int, read *int) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		*read++
		if !yield(flawless.Record{Entries: []flawless.Entry{{Start: &flawless.Start{Module: "m", Workflow: "w"}}}}, nil) {
			return
		}
		for k := 1; k <= n; k++ {
			*read++
			body := []byte("same")
			if k == other {
				body = []byte("other")
			}
			var entries []flawless.Entry
			turn := &flawless.Turn{N: k, Calls: []flawless.Call{{N: k, Kind: "http"}}}
			if k > 1 {
				entries = append(entries, flawless.Entry{Arrival: &flawless.Arrival{Answer: flawless.Answer{Call: k - 1, Body: body}}})
				turn.Answers = []int{k - 1}
			}
			if !yield(flawless.Record{Entries: append(entries, flawless.Entry{Turn: turn})}, nil) {
				return
			}
		}
	}
}

// TestDiffReadsNoFurtherThanTheDifference compares long logs that differ early, late, in their length and not at all.
func TestDiffReadsNoFurtherThanTheDifference(t *testing.T) {
	t.Parallel()
	const long = 1000
	for _, row := range []struct {
		name       string
		n, m       int // turns of the logs
		other      int // turn in which the second one has another answer
		turn, call int
		what       string
		atMost     int // records of each log that are read
	}{
		{"an early difference", long, long, 3, 3, 2, "answer", 5},
		{"a late difference", long, long, long, long, long - 1, "answer", long + 1},
		{"another length", long, 10, 0, 11, 0, "length", long + 1},
		{"none", long, long, 0, 0, 0, "", long + 1},
	} {
		var a, b int
		d, err := Diff(turns(row.n, 0, &a), turns(row.m, row.other, &b))
		if err != nil || d.Turn != row.turn || d.Call != row.call || d.What != row.what || d.Same != (row.what == "") {
			t.Errorf("%s: %+v, %v", row.name, d, err)
		}
		if a > row.atMost || b > row.atMost {
			t.Errorf("%s: %d and %d records are read", row.name, a, b)
		}
	}
}

// TestHistoryKeepsOnlyPendingAnswers reads a long log: what it keeps does not grow with it.
func TestHistoryKeepsOnlyPendingAnswers(t *testing.T) {
	t.Parallel()
	var read int
	var kept []int
	h := newHistory(turns(1000, 0, &read))
	defer h.stop()
	for turn := h.next(); turn != nil; turn = h.next() {
		h.forget(turn)
		kept = append(kept, len(h.answers))
	}
	if len(kept) != 1000 || slices.Max(kept) > 1 {
		t.Errorf("after %d turns it kept up to %d answers", len(kept), slices.Max(kept))
	}
}
