package cluster

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the clock of the cluster.
const (
	steady = 100 * time.Millisecond // a smaller difference may come from the way to the database
	odd    = time.Second            // of which people are told
)

// Time is the clock of a cluster: that of the database, as this machine can tell. It never goes backwards. Its zero value is
// the clock of the machine. All methods may be called concurrently.
type Time struct {
	offset atomic.Int64 // of the database, in nanoseconds
	last   atomic.Int64 // what Now has returned, in Unix nanoseconds

	mu   sync.Mutex
	told bool // that the clock of the machine is wrong
}

// Now returns the time.
func (c *Time) Now() time.Time {
	now := time.Now().Add(time.Duration(c.offset.Load()))
	for {
		last, at := c.last.Load(), now.UnixNano()
		if at < last {
			return time.Unix(0, last)
		}
		if c.last.CompareAndSwap(last, at) {
			return now
		}
	}
}

// Observe notes that the database was asked for its time, and what it answered, and tells people when the clock of this
// machine is wrong by more than a second.
func (c *Time) Observe(asked, answered, database time.Time, log *slog.Logger) {
	way := answered.Sub(asked)
	offset := database.Sub(asked.Add(way / 2))
	if was := time.Duration(c.offset.Load()); (offset - was).Abs() > steady+way/2 {
		c.offset.Store(int64(offset))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch wrong := offset.Abs() > odd+way/2; {
	case wrong && !c.told:
		c.told = true
		log.Warn("the clock of this machine differs from that of the database, which counts: synchronise both", "database_is_ahead_by", offset.Round(time.Millisecond))
	case !wrong && c.told:
		c.told = false
		log.Info("the clock of this machine agrees with that of the database again")
	}
}
