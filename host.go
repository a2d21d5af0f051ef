package flawless

import (
	"fmt"
	"strings"
	"time"
)

// DefaultRetryFor is for how long the engine retries a failed call by itself where nobody says otherwise.
const DefaultRetryFor = 24 * time.Hour

// maxRetryFor is the longest such time, and the longest for which a host can be said to know a key.
const maxRetryFor = 366 * 24 * time.Hour

// Host is what the operator says of a server that runs call.
type Host struct {
	// Host is api.example.com, or *.example.com for every name below it, or either with a port. Of several
	// that fit, the most specific one counts, member by member.
	Host string `json:"host" cbor:"1,keyasint"`
	// KeyMS is for how long the host honours an Idempotency-Key: within that time it carries out a repeated
	// request at most once. In milliseconds; 0 says nothing, -1 says that it does not.
	KeyMS int64 `json:"key_within_ms,omitempty" cbor:"2,keyasint,omitempty"`
	// RetryForMS is for how long the engine retries failed calls to the host by itself, in milliseconds; 0
	// is not at all, nil leaves it to the module and the server.
	RetryForMS *int64 `json:"retry_for_ms,omitempty" cbor:"3,keyasint,omitempty"`
}

// Key is for how long the host honours a key, 0 where it does not.
func (h *Host) Key() time.Duration { return time.Duration(max(h.KeyMS, 0)) * time.Millisecond }

// Check returns nil where the settings can be kept, or [Invalid] with the reason. The host is in lower case
// afterwards.
func (h *Host) Check() error {
	h.Host = strings.ToLower(h.Host)
	plain, below := strings.CutPrefix(h.Host, "*.")
	switch {
	case !isHost(plain):
		return fmt.Errorf("the host %.200q is no name of a host; give one such as api.example.com, *.example.com or api.example.com:8443: %w", h.Host, Invalid)
	case below && !strings.Contains(plain, "."):
		return fmt.Errorf("the host %.200q stands for a whole top-level domain; give one such as *.example.com: %w", h.Host, Invalid)
	case h.KeyMS < -1 || h.KeyMS > maxRetryFor.Milliseconds():
		return fmt.Errorf("the time for which the host honours a key is %d ms; give 1 ms to 366 days, -1 if it does not honour keys, or 0 to say nothing about it: %w", h.KeyMS, Invalid)
	case h.KeyMS == 0 && h.RetryForMS == nil:
		return fmt.Errorf("nothing is said about host %s; say for how long it honours an Idempotency-Key, or for how long its calls are retried: %w", h.Host, Invalid)
	}
	return checkRetryFor(h.RetryForMS)
}

// Fits tells how well the settings fit a server: 0 is not at all, and the higher the more specific. A name
// is more specific than a wildcard, a longer wildcard than a shorter one, and a port more than none.
func (h *Host) Fits(name, port string) int {
	pattern, onPort := h.Host, 0
	for _, end := range []string{":" + port, "]:" + port} {
		if p, ok := strings.CutSuffix(h.Host, end); ok && h.Host != name {
			pattern, onPort = strings.TrimPrefix(p, "["), 1
		}
	}
	tail, below := strings.CutPrefix(pattern, "*")
	switch {
	case pattern == name:
		return 1<<20 + onPort
	case below && len(name) > len(tail) && strings.HasSuffix(name, tail):
		return 2*len(tail) + onPort
	}
	return 0
}

func checkRetryFor(ms *int64) error {
	if ms != nil && (*ms < 0 || *ms > maxRetryFor.Milliseconds()) {
		return fmt.Errorf("calls are to be retried for %d ms; give up to 366 days, or 0 for no retries: %w", *ms, Invalid)
	}
	return nil
}
