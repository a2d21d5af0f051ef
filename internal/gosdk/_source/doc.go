// Package flawless writes workflows for the Flawless engine in plain Go.
//
// A workflow is a function. The engine runs it to completion: when a machine dies in the middle, the
// function is run again and handed the answers it has had, so that it goes on where it was without
// touching the world twice.
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
//		flawless.Workflow("welcome", welcome, flawless.Doc("Greets a customer, and once more after a day."))
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
// It is built by the standard toolchain:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o welcome.wasm .
//
// # What is durable
//
// Inside a workflow plain Go works and is durable: goroutines, channels, select, sync, time.Sleep,
// time.After, context.WithTimeout, maps, math/rand. The order in which goroutines run is the same in
// every replay. Time stands still while the code computes and moves when it waits; timers that came
// due while no engine was running fire at once, in order. Randomness is the run's own and part of
// its log.
//
// The outside is reached through [Do] and its relatives, or through net/http with the transport of
// package nethttp. There are no files, no sockets and no environment, and os.Args has only a
// name. Time zones are part of the module: time.LoadLocation works. Signals never arrive; signal.Notify is
// harmless.
//
// # What is never done twice
//
// A request that is not idempotent (POST and PATCH, unless the call says otherwise) is never sent a
// second time when the engine cannot know whether the first took effect. The run then waits for a
// person, or is told ([TellInterrupted]). See [Idempotent], [NotIdempotent] and [Retry].
//
// A time-out does not change that. When the context of a request ends while the request is under way,
// one that is not idempotent is waited for: see [Do].
//
// # Outside a guest
//
// On other platforms the package compiles, so that editors, go vet and tests of the code around a
// workflow work; calls return [ErrOutside] there.
package flawless
