package guest

import (
	"slices"

	"github.com/flawless-engine/flawless/internal/guest/rewrite"
	"github.com/flawless-engine/flawless/internal/guest/symbol"
)

// signalWaits are the functions of package os/signal that wait for signals. The first use of the package starts a
// goroutine with the first of them; signal.Stop waits in the second until that goroutine waits. Without threads, Go's
// runtime polls in them, and a guest would never be idle. No signal ever reaches a guest, so they return at once
// instead.
var signalWaits = []string{"os/signal.loop", "os/signal.signalWaitUntilIdle"}

// inert returns the functions of a Go guest that must return at once.
func inert(data []rewrite.Segment) (fns []int) {
	for _, s := range data {
		for fn, name := range symbol.GoFuncs(s.Bytes) {
			if slices.Contains(signalWaits, name) {
				fns = append(fns, fn)
			}
		}
	}
	return fns
}
