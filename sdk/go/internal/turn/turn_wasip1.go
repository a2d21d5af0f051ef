package turn

import (
	"iter"
	"os"
	"runtime"
	"syscall"

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
)

// A turn is a coroutine: the goroutine of the export that the engine called resumes another one, and continues when that
// one, or any other, ends the turn. Most turns are ended by the workflow in Rest, all others by watch, in a goroutine
// that has nothing else to do.
var (
	resume  func() (struct{}, bool) // returns when the turn is over
	endTurn func(struct{}) bool     // returns in the next turn, in the goroutine that then continues
)

// beginning starts the goroutine of the workflow.
var beginning chan struct{}

// begun is set if the goroutine of the workflow is the one that continues in the first turn.
var begun bool

// Prepare makes the goroutine in which workflow will run, with a large enough stack, and takes it to where the first
// turn starts. Call it once, before the image of the module is taken.
func Prepare(workflow func()) {
	file := os.NewFile(idleFD, "idle")
	var err error
	if idleConn, err = file.SyscallConn(); err != nil {
		panic("flawless: the engine does not serve the idle descriptor: " + err.Error())
	}
	beginning = make(chan struct{})
	ready := make(chan struct{})
	go func() {
		stretch(stackRoom)
		ready <- struct{}{}
		<-beginning
		begun = true
		if !Rest() {
			begun = false
			<-beginning
		}
		workflow()
	}()
	<-ready
	resume, _ = iter.Pull(watch)
	for range 2 { // so that the engine knows that there are no timers:
		resume() // the scheduler reads the clock the first time a goroutine waits
	}
	beginning <- struct{}{}
	resume()
}

// Start runs the first turn.
func Start() {
	if !begun {
		beginning <- struct{}{}
	}
	resume()
}

// Resume runs the next turn, after the engine has delivered answers.
func Resume() {
	deliver()
	resume()
}

// Rest ends the turn if the caller is the only goroutine with work and the guest has no timer: nothing is left to do
// until an answer comes. It returns true in the next turn. Otherwise it returns false at once.
func Rest() bool {
	if !isAlone() || !abi.Rest() {
		return false
	}
	endTurn(struct{}{})
	return true
}

// isAlone reports whether the only goroutines are the caller, that of the export, and that of watch.
func isAlone() bool { return restsEarly && runtime.NumGoroutine() == 3 }

// watch ends the turns that nothing else has ended.
func watch(end func(struct{}) bool) {
	endTurn = end
	for {
		idle()
		end(struct{}{})
	}
}

// idleConn is readable when every other goroutine is parked.
var idleConn syscall.RawConn

// waited is set once the idle descriptor has been waited for.
var waited bool

func idle() {
	waited = false
	if err := idleConn.Read(hasWaited); err != nil {
		panic("flawless: the engine does not serve the idle descriptor: " + err.Error())
	}
}

// hasWaited makes idleConn wait once.
func hasWaited(uintptr) bool {
	was := waited
	waited = true
	return was
}

// stackRoom is the initial stack size of a workflow in KiB.
const stackRoom = 32

// stretch grows the stack of its goroutine.
//
//go:noinline
func stretch(kib int) byte {
	var room [1024]byte
	if kib > 1 {
		room[kib&1023] = stretch(kib - 1)
	}
	return room[0]
}
