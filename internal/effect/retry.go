package effect

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

const (
	maxAttempts = 1000
	maxWait     = 24 * time.Hour
)

// retryHead is the member "retry" of the head of an http call.
type retryHead struct {
	Attempts  int      `json:"attempts"`
	InitialMS *int64   `json:"initial_ms"`
	Factor    *float64 `json:"factor"`
	MaxMS     *int64   `json:"max_ms"`
	Jitter    *float64 `json:"jitter"`
	Statuses  []int    `json:"statuses"`
}

// policy returns the retry policy, with its defaults, and the statuses after which to retry. Only idempotent calls are
// retried after 502 and 504 by default: such a status of a gateway does not say whether the server behind it has acted.
func (h *retryHead) policy(idempotent bool) (Retry, []int, error) {
	if h == nil {
		return Retry{}, nil, nil
	}
	p := Retry{Attempts: h.Attempts, Initial: 100 * time.Millisecond, Factor: 2, Max: 30 * time.Second, Jitter: 0.2}
	if h.Attempts < 0 || h.Attempts > maxAttempts {
		return Retry{}, nil, invalid(HTTP, `member "retry.attempts" is %d, give 1 to %d`, h.Attempts, maxAttempts)
	}
	if h.InitialMS != nil {
		if *h.InitialMS < 0 || *h.InitialMS > maxWait.Milliseconds() {
			return Retry{}, nil, invalid(HTTP, `member "retry.initial_ms" is %d, give 0 to %d`, *h.InitialMS, maxWait.Milliseconds())
		}
		p.Initial = time.Duration(*h.InitialMS) * time.Millisecond
		p.Max = max(p.Max, p.Initial)
	}
	if h.MaxMS != nil {
		if *h.MaxMS < 1 || *h.MaxMS > maxWait.Milliseconds() {
			return Retry{}, nil, invalid(HTTP, `member "retry.max_ms" is %d, give 1 to %d`, *h.MaxMS, maxWait.Milliseconds())
		}
		p.Max = time.Duration(*h.MaxMS) * time.Millisecond
	}
	if h.Factor != nil {
		if p.Factor = *h.Factor; p.Factor < 1 || p.Factor > 100 {
			return Retry{}, nil, invalid(HTTP, `member "retry.factor" is %v, give 1 to 100`, p.Factor)
		}
	}
	if h.Jitter != nil {
		if p.Jitter = *h.Jitter; p.Jitter < 0 || p.Jitter > 1 {
			return Retry{}, nil, invalid(HTTP, `member "retry.jitter" is %v, give 0 to 1`, p.Jitter)
		}
	}
	for _, s := range h.Statuses {
		if s < 200 || s > 599 {
			return Retry{}, nil, invalid(HTTP, `member "retry.statuses" has %d, give statuses from 200 to 599`, s)
		}
	}
	if h.Attempts <= 1 {
		return Retry{Attempts: h.Attempts}, nil, nil // 0 leaves it to the engine
	}
	switch {
	case h.Statuses != nil:
		return p, h.Statuses, nil
	case idempotent:
		return p, []int{429, 502, 503, 504}, nil
	}
	return p, []int{429, 503}, nil
}

// again reports whether the policy of the call asks for another attempt after attempt n.
func (r *request) again(n int, o Outcome, status int, passes bool) bool {
	if n >= r.retry.Attempts {
		return false
	}
	switch o {
	case Answered:
		return slices.Contains(r.statuses, status)
	case Unknown:
		return passes && r.Idempotent
	}
	return passes
}

// after parses a Retry-After header (RFC 9110, section 10.2.3). It returns 0 if it cannot be parsed, and the longest
// Duration if it is longer than that.
func after(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if !strings.ContainsFunc(v, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(math.MaxInt64/time.Second) {
			return math.MaxInt64
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0) // Sub does not overflow
}

// milliseconds parses a member that is a time of at least lowest milliseconds. It returns nil if the member is missing.
func milliseconds(name string, ms *int64, lowest int64) (*time.Duration, error) {
	if ms == nil {
		return nil, nil
	}
	if *ms < lowest || *ms > flawless.MaxRetryFor.Milliseconds() {
		return nil, invalid(HTTP, `member %q is %d, give %d to %d`, name, *ms, lowest, flawless.MaxRetryFor.Milliseconds())
	}
	d := time.Duration(*ms) * time.Millisecond
	return &d, nil
}
