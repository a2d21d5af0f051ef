package main

import (
	"context"
	"fmt"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// label sets labels, some of which no run can have, and then waits.
func label(_ context.Context, n int) (bad int, err error) {
	for _, l := range [][2]string{{"", "x"}, {"a b", "x"}, {"-a", "x"}, {"a", "one\ntwo"}, {"a", "\xff"}} {
		if flawless.SetLabel(l[0], l[1]) != nil {
			bad++
		}
	}
	_ = flawless.SetLabel("step", "first")
	_ = flawless.SetLabel("given", "")
	time.Sleep(time.Hour)
	_ = flawless.SetLabel("step", "second")
	for i := range n {
		_ = flawless.SetLabel(fmt.Sprintf("n%02d", i), "x")
	}
	return bad, nil
}
