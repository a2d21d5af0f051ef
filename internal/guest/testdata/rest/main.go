// Rest is a guest built with the SDK, which ends its turns by itself where it may.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

func main() {
	debug.SetGCPercent(-1) // its moments depend on the size of the heap, which depends on how turns end
	flawless.Workflow("w", weather)
	flawless.Workflow("ordinary", ordinary)
}

// broken and exits are set by the linker of a guest that does not come up.
var broken, exits string

var program = os.Args[0] // libraries look at it while they are initialised

func init() {
	if broken != "" {
		panic(broken)
	}
	if exits != "" {
		log.Fatal(exits)
	}
}

// ordinary does what many programs do.
func ordinary(ctx context.Context, zone string) (string, error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	again := make(chan os.Signal, 1)
	signal.Notify(again)
	l, err := time.LoadLocation(zone)
	if err != nil {
		return "", err
	}
	if err := flawless.Sleep(ctx, time.Hour); err != nil {
		return "", err
	}
	signal.Stop(again)
	return fmt.Sprint(program, " ", time.Now().In(l).Format("15:04 MST")), nil
}

// weather is alone for a while, and then is not: it has goroutines for a call or for long, timers, contexts that
// end, garbage that is collected, and cleanups. The seed decides what it does.
func weather(ctx context.Context, in string) (string, error) {
	var seed uint64
	if _, err := fmt.Sscanf(in, "weather %d", &seed); err != nil {
		return "", err
	}
	r := rand.New(rand.NewPCG(seed, 0))
	n := 0
	post := func(ctx context.Context, who string) {
		n++
		k := n
		res, err := flawless.Post(ctx, "http://h/", "text/plain", fmt.Append(nil, who, " ", k))
		switch {
		case err != nil:
			flawless.Logger().InfoContext(ctx, "no answer", "who", who, "call", k, "error", err)
		case k%4 == 0:
			flawless.Logger().InfoContext(ctx, "answer", "who", who, "call", k, "body", string(res.Body))
		}
	}
	pause := func() time.Duration { return time.Duration(r.IntN(3)) * time.Millisecond }
	var all sync.WaitGroup
	var work chan int
	leave := func() {
		if work != nil {
			close(work)
			work = nil
		}
	}
	var garbage [][]byte
	cleaned := 0
	for range 60 {
		switch r.IntN(32) {
		default:
			post(ctx, "alone")
		case 0:
			answered := make(chan bool)
			go func() { post(ctx, "helper"); answered <- true }()
			<-answered
		case 1:
			for k := range 1 + r.IntN(3) {
				all.Go(func() { post(ctx, fmt.Sprint("beside ", k)) })
			}
			post(ctx, "together")
		case 2:
			time.Sleep(pause())
		case 3:
			short, cancel := context.WithTimeoutCause(ctx, pause(), errors.New("too late"))
			post(short, "hasty")
			if r.IntN(2) == 0 {
				cancel()
			} else {
				defer cancel()
			}
		case 4:
			runtime.GC()
		case 5:
			for range r.IntN(64) {
				garbage = append(garbage, make([]byte, 64<<10))
			}
			garbage = garbage[len(garbage)/2:]
		case 6:
			slog.Info(time.Now().String())
		case 7: // one that stays
			if work == nil {
				work = make(chan int)
				tasks := work
				all.Go(func() {
					for range tasks {
						post(ctx, "worker")
					}
				})
			}
			work <- 1
			post(ctx, "beside the worker")
		case 8:
			leave()
		case 9:
			time.AfterFunc(pause(), func() { slog.Info("a timer") })
		case 10:
			runtime.AddCleanup(new([16]byte), func(k int) { cleaned += k }, 1) // when it is called is the scheduler's business
		case 11:
			own, cancel := context.WithCancelCause(ctx)
			all.Go(func() { post(ctx, "who cancels"); cancel(errors.New("no more")) })
			post(own, "cancelled")
		case 12:
			context.AfterFunc(ctx, func() { slog.Info("it is cancelled") })
		case 13:
			leave()
			all.Wait()
		case 14:
			gone, cancel := context.WithCancel(ctx)
			cancel()
			post(gone, "never")
		}
	}
	leave()
	if r.IntN(2) == 0 {
		all.Wait()
	}
	return in, nil
}
