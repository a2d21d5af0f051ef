package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// edition is set when the guest is linked: one source, several versions of its code.
var edition = "first"

// revised makes two calls at once, sleeps a day, divides, and makes a last call. What editions do
// otherwise:
//
//	lines      logs more and computes more
//	reordered  makes the two calls the other way round
//	other      sends one of them elsewhere
//	early      makes the last call before it sleeps
//	fixed      does not divide by zero
func revised(ctx context.Context, in Task) (string, error) {
	paths := []string{"/left", "/right"}
	switch edition {
	case "lines":
		for k := range 100 {
			slog.Info("counting", "k", k)
		}
	case "reordered":
		slices.Reverse(paths)
	case "other":
		paths[1] = "/elsewhere"
	}
	var wg sync.WaitGroup
	for _, p := range paths {
		wg.Go(func() { _, _ = post(ctx, in.URL+p) })
	}
	wg.Wait()
	if edition == "early" {
		return post(ctx, in.URL+"/last")
	}
	time.Sleep(24 * time.Hour)
	if edition == "fixed" && in.N == 0 {
		in.N = 1
	}
	share := 100 / in.N
	s, err := post(ctx, in.URL+"/last")
	return fmt.Sprint(share, " ", s), err
}
