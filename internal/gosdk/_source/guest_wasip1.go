package flawless

import (
	"context"
	"iter"
	"log"
	"log/slog"
	"os"
	"runtime"
	"syscall"
	_ "unsafe" // for go:linkname
)

// mainMain is func main of the guest. A reactor does not call it by itself.
//
//go:linkname mainMain main.main
func mainMain()

// describe is called once, before the image is taken from which all runs begin. So it does what
// would be the same in each of them.
//
//go:wasmexport flawless_describe
func describe() {
	keepLines()
	mainMain()
	hostDescribe(view(workflows.manifest()))
	prepare()
	for range 2 { // so that the engine knows that there are no timers
		goOn() // the scheduler looks at the clock the first time a goroutine waits
	}
	beginning <- struct{}{}
	goOn()
}

//go:wasmexport flawless_start
func start() {
	if !begun {
		beginning <- struct{}{}
	}
	goOn()
}

//go:wasmexport flawless_resume
func resume() {
	deliver()
	goOn()
}

//go:wasmexport flawless_blocked
func blocked() {
	const most = 16 << 20
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) && n < most {
		buf = make([]byte, 2*n)
		n = runtime.Stack(buf, true)
	}
	hostDescribe(blockedText(view(buf[:n])))
}

// args asks the engine for a program name in os.Args. It is never called.
//
//go:wasmexport flawless_args
func args() {}

// A turn is a coroutine: the goroutine of the export that the engine has called lets another go on, and
// goes on itself when that one, or any other, ends the turn. Most turns are ended by the workflow, in rest;
// all others by a goroutine that has nothing else to do, in watch.
var (
	goOn    func() (struct{}, bool) // returns when the turn is over
	endTurn func(struct{}) bool     // returns in the next turn, where the goroutine is the one that goes on
)

// watch ends the turns that nobody else has ended.
func watch(end func(struct{}) bool) {
	endTurn = end
	for {
		idle()
		end(struct{}{})
	}
}

// alone tells whether there are only the goroutine that asks, that of the export, and that of watch.
func alone() bool { return restsEarly && runtime.NumGoroutine() == 3 }

// rest ends the turn where the caller is alone and the guest has no timer: nothing is left to do for anybody
// until an answer comes. It returns true in the next turn. Otherwise it returns false at once.
func rest() bool {
	if !alone() || hostRest() == 0 {
		return false
	}
	endTurn(struct{}{})
	return true
}

// idleConn is readable when every other goroutine is parked.
var idleConn syscall.RawConn

// waited is set when the descriptor was waited for.
var waited bool

func idle() {
	waited = false
	if err := idleConn.Read(isWaited); err != nil {
		panic("flawless: the engine does not serve the idle descriptor: " + err.Error())
	}
}

// isWaited has idleConn wait, once.
func isWaited(uintptr) bool {
	was := waited
	waited = true
	return was
}

// beginning sets the goroutine of the workflow going.
var beginning chan struct{}

// begun says that this goroutine is the one that goes on in the first turn.
var begun bool

// prepare makes ready what every run needs: the goroutine of its workflow, with a stack that has
// room, and what encoding/json knows of the types.
func prepare() {
	runtime.GC()
	learnCallers()
	rehearse()
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
		if !rest() {
			begun = false
			<-beginning
		}
		begin()
	}()
	<-ready
	goOn, _ = iter.Pull(watch)
}

// rehearse does what every run does in its first moments, so that the heap has room of the sizes that
// it needs, and encoding/json knows the types of the workflows.
func rehearse() {
	workflows.prepare()
	for size := 8; size <= roomSize; size += 8 {
		room = make([]byte, size)
		links = make([]*byte, size/8)
	}
	room, links = nil, nil
	var h answerHead
	if err := parseAnswer(`{"run":"wkf_","module":"","workflow":""}`, &h); err != nil {
		panic("flawless: a head cannot be read: " + err.Error())
	}
	_, cancel := context.WithCancelCause(context.Background())
	cancel(nil)
	completed(map[string]string{"": ""})
}

// roomSize is up to which size the heap has room for a few objects, with pointers and without. It takes
// twice 8 KiB for each of the sizes that there are up to it.
const roomSize = 512

// room and links make the compiler allocate what rehearse gives them.
var (
	room  []byte
	links []*byte
)

// stackRoom is what the stack of a workflow begins with, in KiB.
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

// begin carries out the run, from the start to the end.
func begin() {
	h, err := readHead(0)
	if err != nil {
		panic("flawless: the start of the run cannot be read: " + err.Error())
	}
	ctx := watchedContext()
	current.Store(&session{secrets: h.secrets})
	w, err := workflows.find(h.workflow)
	if err != nil {
		finish(failure("error", err.Error(), ""))
		return
	}
	w.carryOut(ctx, readPart(0, bodyPart, nil), finish)
}

// finish hands over how the run ended. It does not return: to take a goroutine with a large stack apart is
// work that nobody needs any more.
func finish(end ending) {
	ok := int32(0)
	if end.ok {
		ok = 1
	}
	hostFinish(ok, view(end.text))
	rest()
	select {}
}

// keepLines makes slog's lines lines of the run, and leaves the log package as it is.
func keepLines() {
	out, flags := log.Writer(), log.Flags()
	slog.SetDefault(Logger())
	log.SetOutput(out)
	log.SetFlags(flags)
}

// watchedContext returns a context that ends when somebody cancels the run. Its call is the run's
// first.
func watchedContext() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	waiters.done, waiters.cancel = ctx.Done(), cancel
	waiters.cancelled = hostCall("cancelled", "{}", "")
	return ctx
}
