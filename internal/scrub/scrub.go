package scrub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

const (
	// After is how soon after the start the first check begins.
	After = 10 * time.Second
	// Every is how long after a check the next one begins.
	Every = 24 * time.Hour
	// again is how soon a check is tried again that could not read everything.
	again = time.Hour

	// UsualRate is how fast a check reads, in bytes a second. It leaves a disk nearly idle.
	UsualRate = 8 << 20
	// AskedRate is how fast one reads that a person waits for.
	AskedRate = 64 << 20
)

// Options says what a Scrubber works with.
type Options struct {
	Store   *store.Store
	Lease   store.Lease
	Context context.Context // of the engine's work
	Dead    func() bool     // nothing may be written any more
	Log     *slog.Logger
}

// Scrubber checks all that is stored in the background. All methods may be called concurrently.
type Scrubber struct {
	o     Options
	asked chan struct{} // has an item where a person waits

	mu    sync.Mutex // guards what follows
	last  flawless.StoreCheck
	now   flawless.StoreCheck // as far as it is known; Running where one is under way
	hurry bool
}

// New returns a Scrubber that knows what the last check has found.
func New(ctx context.Context, o Options) *Scrubber {
	s := &Scrubber{o: o, asked: make(chan struct{}, 1)}
	last, err := o.Store.LastCheck(ctx)
	if err != nil && !errors.Is(err, flawless.NotFound) {
		o.Log.Warn("reading the result of the last store check failed", "error", err)
	}
	s.last = last
	return s
}

// Report returns what is known: what the last check has found, and how far the next one is.
func (s *Scrubber) Report() flawless.StoreCheck {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.last
	if s.now.Running {
		r.Running, r.Began, r.Read, r.Total = true, s.now.Began, s.now.Read, s.now.Total
	}
	return r
}

// Health is Report in short.
func (s *Scrubber) Health() *flawless.HealthCheck {
	r := s.Report()
	return &flawless.HealthCheck{Running: r.Running, Read: r.Read, Total: r.Total, Ended: r.Ended, Damaged: len(r.Damaged)}
}

func (s *Scrubber) begin(hurry bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hurry = s.hurry || hurry; !s.now.Running {
		s.now = flawless.StoreCheck{Running: true, Began: time.Now().UTC()}
	}
}

func (s *Scrubber) rate() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hurry {
		return AskedRate
	}
	return UsualRate
}

func (s *Scrubber) progress(read, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Read, s.now.Total = read, total
}

// end takes in what a check has found, and tells whether it is to be kept: one that was interrupted says less
// than the one before it, unless that had found nothing.
func (s *Scrubber) end(found flawless.StoreCheck) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.hurry = flawless.StoreCheck{}, false
	if found.Error != "" && (len(found.Damaged) == 0 || len(s.last.Damaged) > 0) {
		return false
	}
	s.last = found
	return true
}

// Ask begins a check of all that is stored and returns at once. Where one is under way that one hurries.
func (s *Scrubber) Ask() flawless.StoreCheck {
	s.begin(true)
	task.Poke(s.asked)
	return s.Report()
}

// Serve checks all that is stored soon after the start, and then once a day: what nobody reads may be
// damaged for months, and a backup that still has it may be gone by then.
func (s *Scrubber) Serve() {
	next := time.NewTimer(After)
	defer next.Stop()
	for {
		select {
		case <-s.o.Context.Done():
			return
		case <-next.C:
		case <-s.asked:
		}
		s.begin(false)
		found, err := s.o.Store.Check(s.o.Context, store.CheckFiles{Rate: s.rate, Progress: s.progress})
		select {
		case <-s.asked: // while it was under way
		default:
		}
		if s.end(found) {
			s.keep(found)
		}
		if next.Reset(Every); err != nil && s.o.Context.Err() == nil {
			s.o.Log.Error("checking the store failed, will retry", "error", err, "in", again)
			next.Reset(again)
		}
	}
}

// keep has the next start know what was found.
func (s *Scrubber) keep(found flawless.StoreCheck) {
	if len(found.Damaged) > 0 {
		s.o.Log.Error("store check found damage, run flawless store check for details", "files", fileNames(found))
	}
	if s.o.Dead() {
		return
	}
	if err := s.o.Store.PutCheck(context.WithoutCancel(s.o.Context), s.o.Lease, found); err != nil {
		s.o.Log.Warn("writing the result of the store check failed", "error", err)
	}
}

func fileNames(c flawless.StoreCheck) string {
	var names []string
	for _, d := range c.Damaged {
		names = append(names, d.File)
	}
	return strings.Join(names, ", ")
}

// Damage says which stored data cannot be read, as a check or somebody who read it has found; "" is none.
func (s *Scrubber) Damage() string {
	if c := s.Report(); len(c.Damaged) > 0 {
		return fmt.Sprintf("the check that ended at %s found damage in %s; run flawless store check to see what is affected and what to do", c.Ended.Format(time.RFC3339), fileNames(c))
	}
	return s.o.Store.Damage()
}
