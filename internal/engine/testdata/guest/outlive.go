package main

import (
	"context"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// outlive makes calls and spawns a child in its first turn, takes many turns after it, and ends before
// the last of the calls has an answer.
func outlive(ctx context.Context, in Task) (string, error) {
	go func() { _, _ = post(ctx, in.URL+"/put", flawless.Idempotent()) }()
	go func() { _, _ = post(ctx, in.URL+"/post") }()
	for range 2 { // the second waits for its place
		go func() { _, _ = post(ctx, in.Other+"/again") }()
	}
	_ = flawless.Spawn[int, int](ctx, "empty", 7)
	for range in.N {
		time.Sleep(30 * time.Minute)
	}
	return "done", nil
}
