package pebble

import (
	"fmt"
	"runtime"
	"strings"
)

// logger takes what Pebble says.
type logger struct{ db *DB }

// Infof implements pebble.Logger.
func (l logger) Infof(format string, args ...any) {
	l.db.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) {
	l.db.log.Warn("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble expects it not to return, as it would lose data if it
// went on. It ends what Pebble was doing: a call of ours by a panic that guard catches, a goroutine
// of Pebble's own by ending it.
func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble gave up: "+format, args...)
	l.db.fail(err, true)
	if called() {
		panic(gaveUp{err})
	}
	runtime.Goexit()
}

// gaveUp is what a call into Pebble panics with when Pebble cannot go on.
type gaveUp struct{ err error }

// guard calls into Pebble, and returns an error if Pebble cannot go on.
func guard(do func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case gaveUp:
			err = r.err
		default:
			panic(r)
		}
	}()
	return do()
}

// called tells whether this goroutine is inside guard.
func called() bool {
	pcs := make([]uintptr, 128)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "store/pebble.guard") {
			return true
		}
		if !more {
			return false
		}
	}
}
