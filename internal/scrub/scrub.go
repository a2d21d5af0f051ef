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
	// After is the delay of the first check after the start.
	After = 10 * time.Second
	// Every is the time between the end of a check and the next one.
	Every = 24 * time.Hour
	// again is the delay after a check that could not read everything.
	again = time.Hour

	// BackgroundRate is the read rate of a background check, in bytes per second. It leaves a disk nearly idle.
	BackgroundRate = 8 << 20
	// RequestedRate is the read rate of a check that somebody waits for.
	RequestedRate = 64 << 20
)

// Options configures a Scrubber.
type Options struct {
	Store   *store.Store
	Lease   *store.Lease
	Context context.Context // ends with the engine
	Dead    func() bool     // reports whether writing is no longer possible
	Log     *slog.Logger
}

// Scrubber checks all stored data in the background. All methods may be called concurrently.
type Scrubber struct {
	o     Options
	asked chan struct{} // has an item if somebody requested a check

	mu    sync.Mutex // guards the fields below
	last  flawless.StoreCheck
	now   flawless.StoreCheck // progress of the current check
	hurry bool
}

// New returns a Scrubber that starts with the report of the last check.
func New(ctx context.Context, o Options) *Scrubber {
	s := &Scrubber{o: o, asked: make(chan struct{}, 1)}
	last, err := o.Store.LastCheck(ctx)
	if err != nil && !errors.Is(err, flawless.NotFound) {
		o.Log.Warn("reading the result of the last store check failed", "error", err)
	}
	s.last = last
	return s
}

// Report returns the result of the last check and the progress of the current one.
func (s *Scrubber) Report() flawless.StoreCheck {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.last
	if s.now.Running {
		r.Running, r.Began, r.Read, r.Total = true, s.now.Began, s.now.Read, s.now.Total
	}
	return r
}

// Health returns a summary of Report.
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
		return RequestedRate
	}
	return BackgroundRate
}

func (s *Scrubber) progress(read, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Read, s.now.Total = read, total
}

// end records the result of a check and reports whether to store it. An interrupted check replaces the previous result
// only if it found damage and the previous one did not.
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

// Ask starts a check and returns at once. A check that is already running speeds up.
func (s *Scrubber) Ask() flawless.StoreCheck {
	s.begin(true)
	task.Poke(s.asked)
	return s.Report()
}

// Serve checks the store soon after the start and then once a day. Damage to data that nobody reads could otherwise go
// unnoticed until the last good backup is gone.
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
		if err == nil {
			err = s.recount(&found)
		}
		select {
		case <-s.asked: // requested while the check was running
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

// recount compares the counts of runs with the runs.
func (s *Scrubber) recount(found *flawless.StoreCheck) (err error) {
	if s.o.Dead() {
		return nil
	}
	found.Recounted, err = s.o.Store.Recount(s.o.Context, s.o.Lease)
	if len(found.Recounted) > 0 {
		s.o.Log.Warn("counts of runs were wrong and have been corrected", "modules", strings.Join(found.Recounted, ", "))
	}
	if errors.Is(err, flawless.Fenced) { // whoever has the store now checks it
		return nil
	}
	if err != nil {
		found.Error = err.Error()
	}
	return err
}

// keep stores the result for the next start.
func (s *Scrubber) keep(found flawless.StoreCheck) {
	if len(found.Damaged) > 0 {
		s.o.Log.Error("the store check found damage; for details run: flawless store check", "files", fileNames(found))
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

// Damage describes stored data that cannot be read, found by a check or by a reader. It returns "" if there is none.
func (s *Scrubber) Damage() string {
	if c := s.Report(); len(c.Damaged) > 0 {
		return fmt.Sprintf("the check that ended at %s found damage in %s; run flawless store check to see what is affected and what to do", c.Ended.Format(time.RFC3339), fileNames(c))
	}
	return s.o.Store.Damage()
}
