package engine

import (
	"context"

	"github.com/flawless-engine/flawless/internal/retention"
)

// retention returns the sweeper that removes ended runs.
func (e *Engine) retention() *retention.Sweeper {
	o := retention.Options{Store: e.store, Lease: e.lease, Context: e.life.Turns, Now: e.clockNow, Settings: e.policy.Module, Log: e.log,
		Owns: func(run string) bool { return e.runs.Owns(run) == nil },
		InMemory: func(run string) bool {
			inMemory, _ := e.runs.InMemory(run)
			return inMemory
		}}
	if e.ownCode {
		o.Tidy = e.tidyCode
	}
	return retention.New(o)
}

// tidyCode removes the compiled code that no run needs.
func (e *Engine) tidyCode(ctx context.Context) error {
	freed, err := e.library.Tidy(ctx, e.users)
	if freed > 0 {
		e.log.Info("removed compiled code that no run needs", "bytes", freed)
	}
	return err
}
