package flawless

import (
	"context"
	"log"
	"log/slog"
	"runtime"
	"unsafe" // for go:linkname, too

	"github.com/flawless-engine/flawless/sdk/go/internal/abi"
	"github.com/flawless-engine/flawless/sdk/go/internal/site"
	"github.com/flawless-engine/flawless/sdk/go/internal/turn"
	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// mainMain is func main of the guest. A reactor does not call it by itself.
//
//go:linkname mainMain main.main
func mainMain()

// describe is called once, before the image is taken that every run starts from. So it does everything that would be
// the same in each run.
//
//go:wasmexport flawless_describe
func describe() {
	keepLines()
	mainMain()
	abi.Describe(string(workflows.manifest()))
	runtime.GC()
	site.Learn()
	rehearse()
	turn.Prepare(begin)
}

//go:wasmexport flawless_start
func start() { turn.Start() }

//go:wasmexport flawless_resume
func resume() { turn.Resume() }

//go:wasmexport flawless_blocked
func blocked() {
	const maxStacks = 16 << 20
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) && n < maxStacks {
		buf = make([]byte, 2*n)
		n = runtime.Stack(buf, true)
	}
	abi.Describe(site.Blocked(unsafe.String(unsafe.SliceData(buf), n)))
}

// args asks the engine for a program name in os.Args. It is never called.
//
//go:wasmexport flawless_args
func args() {}

// rehearse does what every run does in its first moments, so that the heap has room for objects of the sizes that a run
// needs, and encoding/json knows the types of the workflows.
func rehearse() {
	workflows.prepare()
	for size := 8; size <= roomSize; size += 8 {
		room = make([]byte, size)
		links = make([]*byte, size/8)
	}
	room, links = nil, nil
	var h wire.Head
	if err := wire.Parse(`{"run":"wkf_","module":"","workflow":""}`, &h); err != nil {
		panic("flawless: cannot read a head: " + err.Error())
	}
	_, cancel := context.WithCancelCause(context.Background())
	cancel(nil)
	completed(map[string]string{"": ""})
}

// roomSize is the largest object size in bytes for which rehearse makes room in the heap, with and without pointers.
// Each size class up to it takes two spans of 8 KiB.
const roomSize = 512

// room and links make the compiler allocate what rehearse assigns to them.
var (
	room  []byte
	links []*byte
)

// begin carries out the run from start to end.
func begin() {
	h, err := abi.Head(0)
	if err != nil {
		panic("flawless: cannot read the start of the run: " + err.Error())
	}
	ctx := watchedContext()
	current.Store(&session{secrets: h.Secrets})
	w, err := workflows.find(h.Workflow)
	if err != nil {
		finish(failure("error", err.Error(), ""))
		return
	}
	w.carryOut(ctx, abi.Body(0), finish)
}

// finish tells the engine how the run ended. It does not return: unwinding a large stack would be wasted work.
func finish(end ending) {
	abi.Finish(end.ok, end.text)
	turn.Rest()
	select {}
}

// keepLines makes lines of slog lines of the run, and leaves package log as it is.
func keepLines() {
	out, flags := log.Writer(), log.Flags()
	slog.SetDefault(Logger())
	log.SetOutput(out)
	log.SetFlags(flags)
}

// watchedContext returns a context that ends when somebody cancels the run. Its call is the first of the run.
func watchedContext() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	call := abi.Call("cancelled", []byte("{}"), nil)
	turn.OnCancel(ctx, call, func(h wire.Head) {
		runCancelled.Store(true)
		cancel(&Cancelled{By: h.By, Note: h.Note})
	})
	return ctx
}
