package clock

import (
	"math"
	"sync/atomic"
	"time"
)

// Virtual is a clock for rehearsals: it stands still while an engine has work to do, and jumps to the next timer when
// it is idle. It may outlive an engine and continue with the next one, but serves one at a time. All methods may be
// called concurrently.
type Virtual struct {
	now   atomic.Int64
	still atomic.Bool
}

// NewVirtual returns a clock that starts at the given time.
func NewVirtual(at time.Time) *Virtual {
	v := &Virtual{}
	v.now.Store(at.UnixNano())
	return v
}

// Now returns the time that it shows.
func (v *Virtual) Now() time.Time { return time.Unix(0, v.now.Load()) }

// Still reports whether the engine, when last checked, was idle and had no timer, so that only something else can make
// its runs continue.
func (v *Virtual) Still() bool { return v.still.Load() }

// glance is how often a virtual clock checks whether the engine is idle.
const glance = 200 * time.Microsecond

// jump moves a virtual clock to the next timer if the engine is idle.
func (c *Clock) jump() bool {
	v := c.o.Virtual
	if !c.o.Idle() {
		v.still.Store(false)
		return false
	}
	next := int64(math.MaxInt64)
	c.mu.Lock()
	until := c.until
	if len(c.queue) > 0 {
		next = c.queue[0].Wake
	}
	c.mu.Unlock()
	if next == math.MaxInt64 {
		for t, err := range c.o.Timers(c.o.Context, until, math.MaxInt64) {
			if err == nil {
				next = t.Wake
			}
			break
		}
	}
	v.still.Store(next == math.MaxInt64)
	if next == math.MaxInt64 {
		return false
	}
	v.now.Store(max(next, v.now.Load()))
	return true
}
