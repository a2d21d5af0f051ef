package main

import (
	"context"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// insist asks again after 503, as its policy says.
func insist(ctx context.Context, in Task) (int, error) {
	r, err := flawless.Post(ctx, in.URL, "text/plain", nil, flawless.Timeout(5*time.Second),
		flawless.Retry{Attempts: in.N, Initial: time.Second, Factor: 2, Max: time.Minute, Statuses: []int{503}})
	if err != nil {
		return 0, err
	}
	return r.Status, nil
}
