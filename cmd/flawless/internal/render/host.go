package render

import (
	"fmt"
	"io"
	"time"

	"github.com/flawless-engine/flawless"
)

// Host prints the settings of a host.
func Host(w io.Writer, h flawless.Host) {
	fmt.Fprintf(w, "host %s: idempotency key: %s; retries: %s\n", h.Host, IdempotencyKeys(h), Retries(h.RetryForMS))
}

// IdempotencyKeys formats whether a host honours idempotency keys.
func IdempotencyKeys(h flawless.Host) string {
	switch {
	case h.KeyMS > 0:
		return "honoured for " + Duration(h.Key())
	case h.KeyMS < 0:
		return "ignored"
	}
	return "not set"
}

// Retries formats how long failed calls are retried, in milliseconds.
func Retries(ms *int64) string {
	switch {
	case ms == nil:
		return "default"
	case *ms == 0:
		return "none"
	}
	return "for " + Duration(time.Duration(*ms)*time.Millisecond)
}
