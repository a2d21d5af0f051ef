package cluster

import (
	"context"
	"sync"
	"time"
)

// Pulse asks the database for an answer again and again, to know at any moment whether there is one. Its exported fields do
// not change.
type Pulse struct {
	Ask   func(ctx context.Context) error // asks once, and takes no longer than ctx
	Every time.Duration                   // pause between two questions
	Limit time.Duration                   // an answer that takes longer is none

	mu    sync.Mutex
	since time.Time // when the last answer was asked for before the first failure; zero if there was an answer
	last  time.Time // when the last answer was asked for
	why   string
}

// Serve asks until ctx ends.
func (p *Pulse) Serve(ctx context.Context) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for {
		_ = p.Check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Check asks once, and returns why there is no answer.
func (p *Pulse) Check(ctx context.Context) error {
	asked := time.Now()
	within, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	err := p.Ask(within)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil && asked.After(p.last):
		p.last, p.since, p.why = asked, time.Time{}, ""
	case err != nil && asked.After(p.last):
		if p.why = err.Error(); p.since.IsZero() {
			p.since = asked
		}
	}
	return err
}

// Away returns since when there has been no answer, and why; the zero time if there is one.
func (p *Pulse) Away() (since time.Time, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since, p.why
}
