package core

import (
	"slices"

	"github.com/flawless-engine/flawless"
)

// A call can be tried again for days. So that its run's log does not grow all the time, the tries of a call
// beyond loggedTries share one record: the last one of the log, which is written over while nothing else
// happens in the run. What it said of them before means nothing once it says more.
//
// A record that an image or another record comes after is never written over.

// LoggedTries is how many tries of a call are kept in a log for sure.
const LoggedTries = 10

// MaxLateTries is how many entries such a record has at most.
const MaxLateTries = 100

// OnlyLateTries tells whether entries tell of nothing but tries beyond loggedTries.
func OnlyLateTries(entries []flawless.Entry) bool {
	return len(entries) > 0 && !slices.ContainsFunc(entries, func(e flawless.Entry) bool { return e.Attempt == nil || e.Attempt.N <= LoggedTries })
}

// MergeLateTries returns the entries of the last record with others behind them, without those that mean nothing
// any more: all of a call before the end of its last try.
func MergeLateTries(tail, more []flawless.Entry) []flawless.Entry {
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
