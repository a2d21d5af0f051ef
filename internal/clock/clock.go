package clock

import (
	"container/heap"
	"context"
	"iter"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

// horizon is how far ahead timers are kept in memory. Later ones are only in the store.
const horizon = time.Minute

// Soon is the delay before a background read that failed is repeated. The layer below has already retried; without
// another attempt, the work would silently stop.
const Soon = 5 * time.Second

// atOncePerProcessor is how many runs are woken at once for each processor. Runs that sleep equally long come due in
// bursts. If all of a burst were woken at once, a new run would wait for its place behind all of them: beside 10,000 runs
// that take a step per second, 1 of 100 new runs took 120 ms with two processors. With fewer than this, the disk is not
// kept busy.
const atOncePerProcessor = 24

// Options configures a Clock.
type Options struct {
	// Timers yields the stored timers after from, up to and including until, in order.
	Timers  func(ctx context.Context, from, until int64) iter.Seq2[store.Timer, error]
	Context context.Context // ends with the engine
	Now     func() time.Time
	// Wake wakes a run whose timer is due. It returns when the run has done what was due, but soon even if that takes long.
	Wake func(run string)
	Go   func(f func()) // runs f in a goroutine of the engine
	Log  *slog.Logger

	Virtual *Virtual // the clock that Now reads, in rehearsals; nil for the wall clock
	// Idle reports whether the engine only waits for timers. Only a virtual clock calls it.
	Idle func() bool
}

// Clock wakes runs when their timers are due, in order. It may hold outdated timers, because an extra wake-up does no
// harm. All methods may be called concurrently.
type Clock struct {
	o      Options
	change chan struct{}
	done   chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards the fields below
	queue timers
	until int64 // timers up to this time are in the queue
	anew  bool  // all timers must be read again
}

// New returns a Clock. It wakes no run before Serve is called.
func New(o Options) *Clock {
	return &Clock{o: o, change: make(chan struct{}, 1), done: make(chan struct{}), until: math.MinInt64}
}

// Stop ends Serve.
func (c *Clock) Stop() { c.once.Do(func() { close(c.done) }) }

// Again wakes the runs once more whose timers were due but that could not continue.
func (c *Clock) Again() {
	c.mu.Lock()
	c.anew = true
	c.mu.Unlock()
	task.Poke(c.change)
}

// Add adds a timer that was just written.
func (c *Clock) Add(wake int64, id string) {
	c.mu.Lock()
	near := wake <= c.until
	c.mu.Unlock()
	if near {
		c.Put(wake, id)
	}
}

// Put wakes a run at a given time, independently of the store.
func (c *Clock) Put(wake int64, id string) {
	c.mu.Lock()
	heap.Push(&c.queue, store.Timer{Wake: wake, ID: id})
	first := c.queue[0].ID == id
	c.mu.Unlock()
	if first {
		task.Poke(c.change)
	}
}

// Serve wakes runs until Stop is called or the context ends.
func (c *Clock) Serve() {
	atOnce := semaphore.NewWeighted(int64(atOncePerProcessor * runtime.GOMAXPROCS(0)))
	for {
		now := c.now()
		failed := c.extend(now)
		if failed != nil && c.o.Context.Err() == nil {
			c.o.Log.Error("reading timers failed, will retry", "error", failed)
		}
		for id, ok := c.pop(now); ok; id, ok = c.pop(now) {
			if atOnce.Acquire(c.o.Context, 1) != nil {
				return
			}
			c.o.Go(func() {
				defer atOnce.Release(1)
				c.o.Wake(id)
			})
		}
		pause := c.pause(now)
		if failed != nil {
			pause = min(pause, Soon)
		}
		if c.o.Virtual != nil {
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

func (c *Clock) now() int64 { return c.o.Now().UnixNano() }

// extend reads the timers of the next minute when half of the previous one has passed.
func (c *Clock) extend(now int64) error {
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
	c.until = until // from here on, Add queues timers that are written in the meantime
	c.mu.Unlock()
	for t, err := range c.o.Timers(c.o.Context, from, until) {
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

func (c *Clock) pop(now int64) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || c.queue[0].Wake > now {
		return "", false
	}
	return heap.Pop(&c.queue).(store.Timer).ID, true
}

func (c *Clock) pause(now int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := horizon / 2
	if len(c.queue) > 0 {
		d = min(d, time.Duration(c.queue[0].Wake-now))
	}
	return max(d, 0)
}

// timers is a heap ordered by time, then by id.
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
