// Package flawless lets you write workflows for the Flawless engine in plain Go.
//
// A workflow is a function that the engine runs to completion. If a machine dies in the middle, the engine runs the
// function again and gives it the answers it already had, so it catches up to where it was without repeating any
// effect on the outside world.
//
//	package main
//
//	import (
//		"context"
//		"time"
//
//		flawless "github.com/flawless-engine/flawless/sdk/go"
//	)
//
//	func main() {
//		flawless.Workflow("welcome", welcome, flawless.Doc("Greets a customer, and again after a day."))
//	}
//
//	func welcome(ctx context.Context, name string) (string, error) {
//		for range 2 {
//			if _, err := flawless.PostJSON[any](ctx, "https://mail.example/send", name); err != nil {
//				return "", err
//			}
//			if err := flawless.Sleep(ctx, 24*time.Hour); err != nil {
//				return "", err
//			}
//		}
//		return "greeted " + name, nil
//	}
//
// Build it with the standard toolchain:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o welcome.wasm .
//
// # What is durable
//
// Plain Go works inside a workflow and is durable: goroutines, channels, select, sync, time.Sleep, time.After,
// context.WithTimeout, maps and math/rand. Goroutines run in the same order in every replay. The clock stands still
// while code computes and advances while it waits; timers that were due while no engine was running fire at once, in
// order. Each run has its own randomness, which is part of its log.
//
// To reach the outside world, use [Do] and related functions, or net/http with package nethttp. There are no files,
// no sockets and no environment variables, and os.Args has only a program name. time.LoadLocation works: time zones
// are part of the module. Signals never arrive; signal.Notify is harmless.
//
// # What is never done twice
//
// A request that is not idempotent (POST and PATCH, unless an option says otherwise) is never sent again if the
// engine cannot know whether it took effect. The run then waits for a person to decide, or the call returns
// [*Interrupted] if you asked for that with [TellInterrupted]. See [Idempotent], [NotIdempotent], [Confirm] and
// [Retry].
//
// A timeout does not change this. If the context of a request that is not idempotent ends while the request is in
// flight, the call still waits for the outcome: see [Do].
//
// # Outside a guest
//
// The package compiles on other platforms, so that editors, go vet and tests of the code around a workflow work.
// Calls return [ErrOutside] there.
package flawless
