package engine

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// memory watches how much the process takes. Above its limit no guest rests in memory: each leaves
// when its turn is over, and the ready instances of modules are given back.
func (e *Engine) memory(limit int64) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
		}
		tight := e.resident() > limit
		if was := e.tight.Swap(tight); !tight || was && e.places.taken() == 0 {
			continue
		}
		e.mu.Lock()
		e.sweepAfter()
		e.mu.Unlock()
		e.library.Trim()
	}
}

// calm is called when the last guest has left memory: what they have needed is given back to the system.
// The next run waits for an instance, some hundred microseconds.
func (e *Engine) calm() {
	const atMost = time.Minute // a collection is some ten milliseconds of work
	e.library.Trim()
	e.mu.Lock()
	collect := e.space != nil && time.Since(e.calmed) > atMost
	if collect {
		e.calmed = time.Now()
	}
	e.mu.Unlock()
	if collect {
		debug.FreeOSMemory()
	}
}

// resident is how many bytes of memory the process takes; 0 where the system does not tell.
// https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[1], 10, 64)
	return n * int64(os.Getpagesize())
}
