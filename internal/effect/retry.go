package effect

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	mostAttempts = 1000
	longestWait  = 24 * time.Hour
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

// policy returns the retries asked for, with their defaults, and the statuses that call for one. A
// gateway that answers 502 or 504 does not say whether the server behind it has acted.
func (h *retryHead) policy(idempotent bool) (Retry, []int, error) {
	if h == nil {
		return Retry{}, nil, nil
	}
	p := Retry{Attempts: h.Attempts, Initial: 100 * time.Millisecond, Factor: 2, Max: 30 * time.Second, Jitter: 0.2}
	if h.Attempts < 0 || h.Attempts > mostAttempts {
		return Retry{}, nil, invalid(HTTP, `member "retry.attempts" is %d, give 1 to %d`, h.Attempts, mostAttempts)
	}
	if h.InitialMS != nil {
		if *h.InitialMS < 0 || *h.InitialMS > longestWait.Milliseconds() {
			return Retry{}, nil, invalid(HTTP, `member "retry.initial_ms" is %d, give 0 to %d`, *h.InitialMS, longestWait.Milliseconds())
		}
		p.Initial = time.Duration(*h.InitialMS) * time.Millisecond
		p.Max = max(p.Max, p.Initial)
	}
	if h.MaxMS != nil {
		if *h.MaxMS < 1 || *h.MaxMS > longestWait.Milliseconds() {
			return Retry{}, nil, invalid(HTTP, `member "retry.max_ms" is %d, give 1 to %d`, *h.MaxMS, longestWait.Milliseconds())
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

// again tells whether the policy of the call asks for another try after try n.
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

// after reads a Retry-After header (RFC 9110, section 10.2.3); what cannot be read is no wish. A wish for
// more time than a Duration holds is the longest Duration.
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
	return max(at.Sub(now), 0) // Sub stays within what a Duration holds
}

// For how long the code may have a call tried again, and how long it may say that a server knows a key.
const longestRetry = 366 * 24 * time.Hour

// longest reads a member that is a time in milliseconds: nil where it is missing.
func longest(name string, ms *int64, least int64) (*time.Duration, error) {
	if ms == nil {
		return nil, nil
	}
	if *ms < least || *ms > longestRetry.Milliseconds() {
		return nil, invalid(HTTP, `member %q is %d, give %d to %d`, name, *ms, least, longestRetry.Milliseconds())
	}
	d := time.Duration(*ms) * time.Millisecond
	return &d, nil
}
