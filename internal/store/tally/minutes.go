package tally

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
)

// Day is the number of minutes that are kept.
const Day = 24 * 60

// Minutes is what a server has counted by minute.
type Minutes struct {
	Server string   `cbor:"1,keyasint"`
	Counts []Minute `cbor:"2,keyasint,omitempty"` // in order of time; minutes without counts are missing
}

// Minute counts the runs that have started and ended in a minute.
type Minute struct {
	At      int64   `cbor:"1,keyasint"` // minutes since 1970
	Started int64   `cbor:"2,keyasint,omitempty"`
	Ended   []int64 `cbor:"3,keyasint,omitempty"` // by position in flawless.EndedStatuses
}

// MinuteOf returns the number of the minute that a time is in.
func MinuteOf(t time.Time) int64 { return t.Unix() / 60 }

// Clock counts by minute, for a day. Its methods may be called concurrently.
type Clock struct {
	// Changed gets an item when something was counted, unless it has one. It has room for one, and is set before use; nil
	// is not told.
	Changed chan struct{}

	mu     sync.Mutex
	counts map[int64]*Minute
}

// Restore adds what was counted before.
func (c *Clock) Restore(m Minutes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range m.Counts {
		at := c.at(x.At)
		at.Started += x.Started
		for i, n := range x.Ended[:min(len(x.Ended), len(at.Ended))] {
			at.Ended[i] += n
		}
	}
}

// at returns the counts of a minute. The caller holds mu.
func (c *Clock) at(minute int64) *Minute {
	m := c.counts[minute]
	if m == nil {
		if c.counts == nil {
			c.counts = map[int64]*Minute{}
		}
		m = &Minute{At: minute, Ended: make([]int64, len(flawless.EndedStatuses))}
		c.counts[minute] = m
		maps.DeleteFunc(c.counts, func(at int64, _ *Minute) bool { return at <= minute-Day })
	}
	return m
}

// Start counts a run that has started.
func (c *Clock) Start(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at(MinuteOf(t)).Started++
	c.change()
}

// End counts a run that has ended.
func (c *Clock) End(t time.Time, s flawless.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change()
	if i := slices.Index(flawless.EndedStatuses, s); i >= 0 {
		c.at(MinuteOf(t)).Ended[i]++
	}
}

// change notes that something was counted.
func (c *Clock) change() {
	select {
	case c.Changed <- struct{}{}:
	default:
	}
}

// Minutes returns all counts.
func (c *Clock) Minutes(server string) Minutes {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := Minutes{Server: server}
	for _, at := range slices.Sorted(maps.Keys(c.counts)) {
		x := *c.counts[at]
		x.Ended = slices.Clone(x.Ended)
		m.Counts = append(m.Counts, x)
	}
	return m
}

// Old reports whether all counts of a server are older than a day.
func (m Minutes) Old(now time.Time) bool {
	return len(m.Counts) == 0 || m.Counts[len(m.Counts)-1].At <= MinuteOf(now)-Day
}
