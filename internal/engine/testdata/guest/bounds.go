package main

import (
	"context"
	"errors"
	"math"
	"time"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// bounds returns what is said of options that are at a bound, and beyond it.
func bounds(ctx context.Context, url string) (map[string]string, error) {
	const day = 24 * time.Hour
	out := map[string]string{}
	for name, o := range map[string]flawless.Option{
		"attempts 1000":    flawless.Retry{Attempts: 1000},
		"attempts 1001":    flawless.Retry{Attempts: 1001},
		"factor 100":       flawless.Retry{Attempts: 2, Factor: 100},
		"factor 1000":      flawless.Retry{Attempts: 2, Factor: 1000},
		"factor 0.5":       flawless.Retry{Attempts: 2, Factor: 0.5},
		"factor largest":   flawless.Retry{Attempts: 2, Factor: math.MaxFloat64},
		"jitter 1":         flawless.Retry{Attempts: 2, Jitter: 1},
		"jitter 1.1":       flawless.Retry{Attempts: 2, Jitter: 1.1},
		"initial day":      flawless.Retry{Attempts: 2, Initial: day},
		"initial longest":  flawless.Retry{Attempts: 2, Initial: math.MaxInt64},
		"max day":          flawless.Retry{Attempts: 2, Max: day},
		"max longest":      flawless.Retry{Attempts: 2, Max: math.MaxInt64},
		"statuses 99":      flawless.Retry{Attempts: 2, Statuses: []int{99}},
		"timeout day":      flawless.Timeout(day),
		"timeout longest":  flawless.Timeout(math.MaxInt64),
		"limit highest":    flawless.Limit(1 << 30),
		"limit beyond":     flawless.Limit(1<<30 + 1),
		"redirects 100":    flawless.Redirects(100),
		"redirects beyond": flawless.Redirects(math.MaxInt32),
	} {
		_, err := flawless.Get(ctx, url, o)
		var call *flawless.CallError
		switch {
		case errors.As(err, &call) && call.Kind == flawless.KindInvalid:
			out[name] = call.Message
		case err != nil:
			return nil, err
		}
	}
	for name, d := range map[string]time.Duration{"expires longest": math.MaxInt64, "expires shortest": math.MinInt64} {
		soon, stop := context.WithTimeout(ctx, time.Second)
		_, err := flawless.NewPromise[int](ctx, name, flawless.Expires(d)).Wait(soon)
		stop()
		out[name] = err.Error()
	}
	return out, nil
}
