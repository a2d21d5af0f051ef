// Guest has the workflows that the benchmark runs.
package main

import (
	"context"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

type Chain struct {
	URL string `json:"url"`
	N   int    `json:"n"`
}

func main() {
	flawless.Workflow("empty", func(context.Context, any) (any, error) { return nil, nil })
	flawless.Workflow("chain", chain)
	flawless.Workflow("waiting", waiting)
}

var body = []byte(`{"amount":1999,"currency":"EUR"}`)

func chain(ctx context.Context, in Chain) (int, error) {
	for k := range in.N {
		if _, err := flawless.Post(ctx, in.URL, "application/json", body); err != nil {
			return k, err
		}
	}
	return in.N, nil
}

// edition is set when the guest is linked, so that there are two versions of one code.
var edition = "first"

// waiting is a chain that does not end for a while.
func waiting(ctx context.Context, in Chain) (string, error) {
	if _, err := chain(ctx, in); err != nil {
		return "", err
	}
	time.Sleep(1000 * time.Hour)
	return edition, nil
}
