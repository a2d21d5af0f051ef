package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

// When all that is stored is checked, and how fast: a check in the background leaves a disk nearly idle, one
// that a person waits for does not.
const (
	checkAfter = 10 * time.Second // the start
	checkEvery = 24 * time.Hour
	checkAgain = time.Hour // where not everything could be read

	checkRate = 8 << 20 // bytes a second
	askedRate = 64 << 20
)

// checks is the check of the store that is under way, and what the last one has found.
type checks struct {
	asked chan struct{} // has an item where a person waits

	mu    sync.Mutex
	last  flawless.StoreCheck
	now   flawless.StoreCheck // as far as it is known; Running where one is under way
	hurry bool
}

// load reads what the last check has found.
func (c *checks) load(ctx context.Context, s *store.Store) (err error) {
	c.last, err = s.LastCheck(ctx)
	if errors.Is(err, flawless.NotFound) {
		err = nil
	}
	return err
}

// report is what is known: what the last check has found, and how far the next one is.
func (c *checks) report() flawless.StoreCheck {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.last
	if c.now.Running {
		r.Running, r.Began, r.Read, r.Total = true, c.now.Began, c.now.Read, c.now.Total
	}
	return r
}

func (c *checks) health() *flawless.HealthCheck {
	r := c.report()
	return &flawless.HealthCheck{Running: r.Running, Read: r.Read, Total: r.Total, Ended: r.Ended, Damaged: len(r.Damaged)}
}

func (c *checks) begin(hurry bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hurry = c.hurry || hurry; !c.now.Running {
		c.now = flawless.StoreCheck{Running: true, Began: time.Now().UTC()}
	}
}

func (c *checks) rate() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hurry {
		return askedRate
	}
	return checkRate
}

func (c *checks) progress(read, total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Read, c.now.Total = read, total
}

// end takes in what a check has found, and tells whether it is to be kept: one that was interrupted says less
// than the one before it, unless that had found nothing.
func (c *checks) end(found flawless.StoreCheck) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.hurry = flawless.StoreCheck{}, false
	if found.Error != "" && (len(found.Damaged) == 0 || len(c.last.Damaged) > 0) {
		return false
	}
	c.last = found
	return true
}

// StoreCheck returns what the last check of all that is stored has found, and how far the one is that is under
// way. flawless.Invalid where the store has no files that it could check.
func (e *Engine) StoreCheck() (flawless.StoreCheck, error) {
	if !e.store.CanCheck() {
		return flawless.StoreCheck{}, fmt.Errorf("checking the store: it has no files of its own: %w", flawless.Invalid)
	}
	return e.checks.report(), nil
}

// CheckStore begins a check of all that is stored and returns at once. Where one is under way that one hurries.
func (e *Engine) CheckStore() (flawless.StoreCheck, error) {
	if _, err := e.StoreCheck(); err != nil {
		return flawless.StoreCheck{}, err
	}
	if e.dead.Load() || e.stopping.Load() {
		return flawless.StoreCheck{}, e.over()
	}
	e.checks.begin(true)
	task.Poke(e.checks.asked)
	return e.checks.report(), nil
}

// checkStore checks all that is stored soon after the start, and then once a day: what nobody reads may be
// damaged for months, and a backup that still has it may be gone by then.
func (e *Engine) checkStore() {
	next := time.NewTimer(checkAfter)
	defer next.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-next.C:
		case <-e.checks.asked:
		}
		e.checks.begin(false)
		found, err := e.store.Check(e.ctx, store.CheckFiles{Rate: e.checks.rate, Progress: e.checks.progress})
		select {
		case <-e.checks.asked: // while it was under way
		default:
		}
		if e.checks.end(found) {
			e.keepCheck(found)
		}
		if next.Reset(checkEvery); err != nil && e.ctx.Err() == nil {
			e.log.Error("the store cannot be checked, it is tried again", "error", err, "in", checkAgain)
			next.Reset(checkAgain)
		}
	}
}

// keepCheck has the next start know what was found.
func (e *Engine) keepCheck(found flawless.StoreCheck) {
	if len(found.Damaged) > 0 {
		e.log.Error("the check of the store has found damage, flawless store check tells what is affected", "files", fileNames(found))
	}
	if e.dead.Load() {
		return
	}
	if err := e.store.PutCheck(context.WithoutCancel(e.ctx), e.lease, found); err != nil {
		e.log.Warn("what the check of the store has found cannot be kept", "error", err)
	}
}

func fileNames(c flawless.StoreCheck) string {
	var names []string
	for _, d := range c.Damaged {
		names = append(names, d.File)
	}
	return strings.Join(names, ", ")
}

// damage says which stored data cannot be read, as a check or somebody who read it has found; "" is none.
func (e *Engine) damage() string {
	if c := e.checks.report(); len(c.Damaged) > 0 {
		return fmt.Sprintf("the check that ended at %s found damage in %s; flawless store check tells what is affected and what to do", c.Ended.Format(time.RFC3339), fileNames(c))
	}
	return e.store.Damage()
}
