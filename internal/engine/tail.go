package engine

import (
	"slices"

	"github.com/flawless-engine/flawless"
)

// A call can be tried again for days. So that its run's log does not grow all the time, the tries of a call
// beyond loggedTries share one record: the last one of the log, which is written over while nothing else
// happens in the run. What it said of them before means nothing once it says more.
//
// A record that an image or another record comes after is never written over.

// loggedTries is how many tries of a call are kept in a log for sure.
const loggedTries = 10

// maxTail is how many entries such a record has at most.
const maxTail = 100

// late tells whether entries tell of nothing but tries beyond loggedTries.
func late(entries []flawless.Entry) bool {
	return len(entries) > 0 && !slices.ContainsFunc(entries, func(e flawless.Entry) bool { return e.Attempt == nil || e.Attempt.N <= loggedTries })
}

// overwritten returns the entries of the last record with others behind them, without those that mean nothing
// any more: all of a call before the end of its last try.
func overwritten(tail, more []flawless.Entry) []flawless.Entry {
	all := slices.Concat(tail, more)
	ended := map[int]int{} // by call: where the last end is
	for i, e := range all {
		if a := e.Attempt; !a.Begun && a.Waits == "" {
			ended[a.Call] = i
		}
	}
	var out []flawless.Entry
	for i, e := range all {
		if i >= ended[e.Attempt.Call] {
			out = append(out, e)
		}
	}
	return out
}

// place returns where entries are to be written: behind the last record, or over it. The caller holds mu.
func (r *run) place(entries []flawless.Entry) (seq uint64, all []flawless.Entry) {
	if len(r.tail) > 0 && r.sealed < r.seq && late(entries) {
		if all := overwritten(r.tail, entries); len(all) <= maxTail {
			r.tail = all
			return r.seq - 1, all
		}
	}
	if r.tail = nil; late(entries) {
		r.tail = entries
	}
	r.seq++
	return r.seq - 1, entries
}
