package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// Perishing says how a run ends in the middle of a saga.
type Perishing struct{ URL, How string }

// perish takes two steps of a saga, waits for a message, and ends.
func perish(ctx context.Context, in Perishing) (string, error) {
	saga := func() error {
		return flawless.InSaga(ctx, func(s *flawless.Saga) error {
			for _, name := range []string{"flight", "hotel"} {
				err := s.Step(name,
					func(ctx context.Context) error { _, err := flawless.Post(ctx, in.URL+"/"+name, "", nil); return err },
					func(ctx context.Context) error {
						if in.How == "no refund" {
							return errors.New("no refund")
						}
						_, err := flawless.Post(ctx, in.URL+"/undo-"+name, "", nil)
						return err
					})
				if err != nil {
					return err
				}
			}
			if _, err := flawless.Receive[any](ctx, "go"); err != nil {
				return err
			}
			return end(ctx, in)
		}, flawless.UndoRetry{Attempts: 1})
	}
	if err := flawless.InSaga(ctx, func(s *flawless.Saga) error { // all is well with this one
		return s.Step("ticket", func(context.Context) error { return nil }, func(context.Context) error { return nil })
	}); err != nil {
		return "", err
	}
	if !strings.HasPrefix(in.How, "beside") {
		return "done", saga()
	}
	go func() { _ = saga() }()
	time.Sleep(time.Hour)
	if in.How == "beside: it fails" {
		return "", errors.New("it fails")
	}
	return "done", nil
}

func end(ctx context.Context, in Perishing) error {
	switch in.How {
	case "exit":
		os.Exit(3)
	case "fatal":
		log.Fatal("it is over")
	case "memory":
		for {
			chained = &link{next: chained}
		}
	case "panic beside":
		c := make(chan int)
		go func() { panic("it fell") }()
		<-c
	case "unlock":
		new(sync.Mutex).Unlock()
	case "deep":
		_, _ = sink(ctx, 1<<30)
	case "nil":
		var none map[string]int
		done := make(chan int)
		go func() { none["a"] = 1; close(done) }()
		<-done
	case "lines": // two million
		for range 32 {
			_, _ = os.Stdout.WriteString(strings.Repeat("\n", 1<<16))
		}
	case "spin":
		for {
			runtime.Gosched()
		}
	case "stuck":
		<-make(chan int)
	case "panic", "no refund":
		panic("it fell")
	case "goexit":
		runtime.Goexit()
	case "error":
		return errors.New("it fails")
	case "body":
		_, err := flawless.Post(ctx, in.URL+"/large", "", make([]byte, 65<<20))
		var call *flawless.CallError
		if !errors.As(err, &call) || call.Kind != flawless.KindTooLarge {
			return fmt.Errorf("it gets %w", err)
		}
		return err
	}
	return nil
}

// bulky hands the engine more than it takes, in every way there is, and returns the error.
func bulky(ctx context.Context, how string) (string, error) {
	large := strings.Repeat("x", 64<<20+1)
	var err error
	switch how {
	case "post":
		_, err = flawless.Post(ctx, "http://127.0.0.1:1/", "text/plain", []byte(large))
	case "spawn":
		_, err = flawless.Spawn[string, any](ctx, "empty", large).Wait(ctx)
	case "detached":
		_, err = flawless.Spawn[string, any](ctx, "empty", large, flawless.Detached()).Wait(ctx)
	case "send":
		err = flawless.Send(ctx, flawless.RunID(), "large", large)
	case "reply":
		var m flawless.Message[any]
		if m, err = flawless.ReceiveMessage[any](ctx, "go"); err == nil {
			err = m.Reply(large)
		}
	case "data":
		err = flawless.SetData(large)
	case "state":
		err = flawless.State[string]("bulky").Update(ctx, func(s *string) error { *s = large; return nil })
		if n := flawless.State[string]("bulky").Update(ctx, func(s *string) error { *s += "small"; return nil }); n != nil {
			return "", n
		}
	case "log":
		flawless.Logger().Info(large + large)
		return "too_large", nil
	case "print":
		_, err = os.Stdout.WriteString(large)
		if err != nil {
			return "", err
		}
		return "too_large", nil
	case "output":
		return large, nil
	case "error":
		return "", errors.New(large)
	case "panic":
		panic(large)
	}
	var call *flawless.CallError
	if errors.As(err, &call) {
		return call.Kind, nil
	}
	return "", err
}
