package clock

import (
	"math"
	"sync/atomic"
	"time"
)

// Virtual is a clock for rehearsals: it stands still while an engine has something to do, and jumps to
// the next timer when it has not. It may outlive an engine and go on with the next one, but serves one
// at a time. All methods may be called concurrently.
type Virtual struct {
	now   atomic.Int64
	still atomic.Bool
}

// NewVirtual returns a clock that begins at a moment.
func NewVirtual(at time.Time) *Virtual {
	v := &Virtual{}
	v.now.Store(at.UnixNano())
	return v
}

// Now is the moment it shows.
func (v *Virtual) Now() time.Time { return time.Unix(0, v.now.Load()) }

// Still tells whether the engine, when it was last looked at, had nothing to do and no timer: what its
// runs wait for has to come from somewhere else.
func (v *Virtual) Still() bool { return v.still.Load() }

// glance is how often a virtual clock looks whether there is nothing to do.
const glance = 200 * time.Microsecond

// jump moves a virtual clock to the next timer, where nothing else is to be done.
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
