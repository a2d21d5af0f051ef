package core

import (
	"slices"

	"github.com/flawless-engine/flawless"
)

// A call can be retried for days. So that the log of its run does not grow all that time, the attempts beyond
// LoggedAttempts share one record: the last one of the log, which is overwritten as long as nothing else happens in the
// run. Each attempt makes the ones before it irrelevant.
//
// A record that is followed by an image or another record is never overwritten.

// LoggedAttempts is how many attempts at a call are always kept in the log.
const LoggedAttempts = 10

// MaxLateAttempts is the maximum number of entries in such a record.
const MaxLateAttempts = 100

// OnlyLateAttempts reports whether all entries are about attempts beyond LoggedAttempts.
func OnlyLateAttempts(entries []flawless.Entry) bool {
	return len(entries) > 0 && !slices.ContainsFunc(entries, func(e flawless.Entry) bool { return e.Attempt == nil || e.Attempt.N <= LoggedAttempts })
}

// MergeLateAttempts returns the entries of the last record followed by more, without the irrelevant ones: for each
// call, the entries before the end of its last attempt.
func MergeLateAttempts(tail, more []flawless.Entry) []flawless.Entry {
	all := slices.Concat(tail, more)
	ended := map[int]int{} // position of the last end, by call
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
