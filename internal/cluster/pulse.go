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
	// Changed is called when there is no answer for the first time, and with the zero time when there is one again.
	Changed func(since time.Time, why string)

	mu    sync.Mutex
	since time.Time // when the first question was asked that had no answer; zero if the last one had
	last  time.Time // when the newest question was asked of which the outcome is known
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
	if p.note(asked, err) && p.Changed != nil {
		p.Changed(p.Away())
	}
	return err
}

// note notes an answer, or that there was none, and reports whether that is new.
func (p *Pulse) note(asked time.Time, err error) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if asked.Before(p.last) { // a newer question was answered before this one
		return false
	}
	was := p.since
	if p.last = asked; err == nil {
		p.since, p.why = time.Time{}, ""
	} else if p.why = err.Error(); p.since.IsZero() {
		p.since = asked
	}
	return was.IsZero() != p.since.IsZero()
}

// Away returns since when there has been no answer, and why; the zero time if there is one.
func (p *Pulse) Away() (since time.Time, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since, p.why
}
