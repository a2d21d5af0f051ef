package flawless

import (
	"context"
	"log"
	"log/slog"
	"os"
	"runtime"
	_ "unsafe" // for go:linkname
)

// mainMain is func main of the guest. A reactor does not call it by itself.
//
//go:linkname mainMain main.main
func mainMain()

//go:wasmexport flawless_describe
func describe() {
	mainMain()
	hostDescribe(view(workflows.manifest()))
}

//go:wasmexport flawless_start
func start() {
	go begin()
	idle()
}

//go:wasmexport flawless_resume
func resume() { idle() }

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

// idleFile is readable when every other goroutine is parked.
var idleFile *os.File

func idle() {
	if idleFile == nil {
		idleFile = os.NewFile(idleFD, "idle")
	}
	var one [1]byte
	if _, err := idleFile.Read(one[:]); err != nil {
		panic("flawless: the engine does not serve the idle descriptor: " + err.Error())
	}
}

// begin carries out the run, from the start to the end.
func begin() {
	keepLines()
	mainMain()
	h, err := readHead(0)
	if err != nil {
		panic("flawless: the start of the run cannot be read: " + err.Error())
	}
	ctx := watchedContext()
	current.Store(&session{id: h.run})
	w, err := workflows.find(h.workflow)
	if err != nil {
		finish(failure("error", err.Error(), ""))
		return
	}
	w.carryOut(ctx, readPart(0, bodyPart, nil), finish)
}

func finish(end ending) {
	ok := int32(0)
	if end.ok {
		ok = 1
	}
	hostFinish(ok, view(end.text))
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
	waiters.done = ctx.Done()
	n := hostCall("cancelled", "{}", "")
	go watchCancel(n, cancel)
	return ctx
}

func watchCancel(n int32, cancel context.CancelCauseFunc) {
	if n < 0 {
		return
	}
	h, _, err := await(context.Background(), n)
	if err != nil {
		h.note = err.Error()
	}
	cancel(&Cancelled{By: h.by, Note: h.note})
	interruptAll()
}
