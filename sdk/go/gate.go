package flawless

import "context"

// gate lets one goroutine in at a time, in order of arrival. Unlike with a mutex, a goroutine can stop waiting.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// enter waits until the gate is free, or returns the cause of ctx if ctx ends first. It enters a free gate even if
// ctx has ended.
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
