package pebble

import (
	"fmt"
	"runtime"
	"strings"
)

// logger receives the messages of Pebble.
type logger struct{ db *DB }

// Infof implements pebble.Logger.
func (l logger) Infof(format string, args ...any) {
	l.db.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l logger) Errorf(format string, args ...any) {
	l.db.log.Warn("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble expects it not to return, because it would lose data if it continued. In a call
// from this package, Fatalf panics, which guard catches; in a goroutine of Pebble, it ends the goroutine.
func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble gave up: "+format, args...)
	l.db.fail(err, true)
	if called() {
		panic(gaveUp{err})
	}
	runtime.Goexit()
}

// gaveUp is the panic of a call into Pebble that cannot continue.
type gaveUp struct{ err error }

// guard calls do, and returns an error if Pebble calls Fatalf.
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

// called reports whether this goroutine is inside guard.
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
