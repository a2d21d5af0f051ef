// Guest has the workflows that the benchmark runs.
package main

import (
	"context"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

type Chain struct {
	URL string `json:"url"`
	N   int    `json:"n"`
}

func main() {
	flawless.Workflow("empty", func(context.Context, any) (any, error) { return nil, nil })
	flawless.Workflow("chain", chain)
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
