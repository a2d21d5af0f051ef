package flawless

import "context"

// gate lets one goroutine in at a time, in the order they came. Other than before a mutex, whoever waits
// before it may give up.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// enter waits until nobody is in, or ctx ends, and returns the cause of that. A gate that is open lets in
// whatever ctx says.
func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	default:
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g gate) leave() { <-g }
