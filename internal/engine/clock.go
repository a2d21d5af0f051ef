package engine

import (
	"container/heap"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

// horizon is how far ahead timers are kept in memory; those behind it lie in the store.
const horizon = time.Minute

// clock wakes runs when their timers are due, in order. A timer in it may be out of date: waking a
// run too often does no harm.
type clock struct {
	e      *Engine
	mu     sync.Mutex
	queue  timers
	until  int64 // timers up to here are in the queue
	anew   bool  // all of them are to be read again
	change chan struct{}
	done   chan struct{}
	once   sync.Once
}

func (c *clock) init(e *Engine) {
	c.e, c.change, c.done = e, make(chan struct{}, 1), make(chan struct{})
	c.until = math.MinInt64
}

func (c *clock) stop() { c.once.Do(func() { close(c.done) }) }

// again wakes once more the runs whose timers were due and that could not go on.
func (c *clock) again() {
	c.mu.Lock()
	c.anew = true
	c.mu.Unlock()
	task.Poke(c.change)
}

// add takes note of a timer that was just written.
func (c *clock) add(wake int64, id string) {
	c.mu.Lock()
	near := wake <= c.until
	c.mu.Unlock()
	if near {
		c.put(wake, id)
	}
}

// put has a run woken at a moment, whether the store knows of it or not.
func (c *clock) put(wake int64, id string) {
	c.mu.Lock()
	heap.Push(&c.queue, store.Timer{Wake: wake, ID: id})
	first := c.queue[0].ID == id
	c.mu.Unlock()
	if first {
		task.Poke(c.change)
	}
}

// run wakes until the engine stops.
func (c *clock) run() {
	atOnce := semaphore.NewWeighted(64)
	for {
		now := c.e.now()
		failed := c.extend(now)
		if failed != nil && c.e.ctx.Err() == nil {
			c.e.log.Error("timers cannot be read, they are read again soon", "error", failed)
		}
		for id, ok := c.pop(now); ok; id, ok = c.pop(now) {
			if atOnce.Acquire(c.e.ctx, 1) != nil {
				return
			}
			c.e.tasks.Go(func() {
				defer atOnce.Release(1)
				c.e.touch(id)
			})
		}
		pause := c.pause(now)
		if failed != nil {
			pause = min(pause, soonAgain)
		}
		if c.e.virtual != nil {
			if c.jump() {
				continue
			}
			pause = glance
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-c.change:
		case <-c.done:
			wait.Stop()
			return
		}
		wait.Stop()
	}
}

// extend reads the timers of the coming minute when half of the one before is over.
func (c *clock) extend(now int64) error {
	c.mu.Lock()
	if c.anew {
		c.anew, c.queue, c.until = false, nil, math.MinInt64
	}
	from := c.until
	until := now + int64(horizon)
	if from > now+int64(horizon)/2 {
		c.mu.Unlock()
		return nil
	}
	c.until = until // from here on, add takes what is written meanwhile
	c.mu.Unlock()
	for t, err := range c.e.store.Timers(c.e.ctx, from, until) {
		if err != nil {
			c.mu.Lock()
			c.until = from
			c.mu.Unlock()
			return err
		}
		c.mu.Lock()
		heap.Push(&c.queue, t)
		c.mu.Unlock()
	}
	return nil
}

func (c *clock) pop(now int64) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || c.queue[0].Wake > now {
		return "", false
	}
	return heap.Pop(&c.queue).(store.Timer).ID, true
}

func (c *clock) pause(now int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := horizon / 2
	if len(c.queue) > 0 {
		d = min(d, time.Duration(c.queue[0].Wake-now))
	}
	return max(d, 0)
}

// timers is a heap by time, then by id.
type timers []store.Timer

func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	return t[i].Wake < t[j].Wake || t[i].Wake == t[j].Wake && t[i].ID < t[j].ID
}

func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

func (t *timers) Push(x any) { *t = append(*t, x.(store.Timer)) }

func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	*t = old[:len(old)-1]
	return last
}
