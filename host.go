package flawless

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// DefaultRetryFor is how long the engine retries a failed call if nothing else is set.
const DefaultRetryFor = 24 * time.Hour

// MaxRetryFor is the maximum time for retries, and the maximum lifetime of an idempotency key.
const MaxRetryFor = 366 * 24 * time.Hour

// Host is the operator's settings for a server that runs call.
type Host struct {
	// Host is api.example.com, or *.example.com for every name below it, either with an optional port. If several
	// match, the most specific one applies, separately for each setting.
	Host string `json:"host" cbor:"1,keyasint"`
	// KeyMS is how long the host honours an Idempotency-Key, in milliseconds: within that time it carries out a
	// repeated request at most once. 0 means not set, -1 that it does not honour keys.
	KeyMS int64 `json:"key_within_ms,omitempty" cbor:"2,keyasint,omitempty"`
	// RetryForMS is how long the engine retries failed calls to the host, in milliseconds. 0 means no retries, nil the
	// setting of the module or the server.
	RetryForMS *int64 `json:"retry_for_ms,omitempty" cbor:"3,keyasint,omitempty"`
}

// Key returns how long the host honours a key, or 0.
func (h *Host) Key() time.Duration { return time.Duration(max(h.KeyMS, 0)) * time.Millisecond }

// CanonicalHost returns a host, with or without a port, in the form in which hosts are compared: lower case, without
// the trailing dot of the DNS root, an IPv6 address in its shortest form and in brackets only before a port. Text
// that is not a host is only changed to lower case.
func CanonicalHost(text string) string {
	text = strings.ToLower(text)
	name, port, err := net.SplitHostPort(text)
	if err != nil {
		if name, port = text, ""; strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && strings.Contains(text, ":") {
			name = text[1 : len(text)-1]
		}
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.String()
	} else if short := strings.TrimSuffix(name, "."); short != "" {
		name = short
	}
	if port == "" {
		return name
	}
	return net.JoinHostPort(name, port)
}

// Check returns nil if the settings are valid, otherwise [Invalid] with the reason. It changes Host to its canonical
// form, see [CanonicalHost].
func (h *Host) Check() error {
	h.Host = CanonicalHost(h.Host)
	plain, below := strings.CutPrefix(h.Host, "*.")
	switch {
	case !isHost(plain):
		return fmt.Errorf("%.200q is not a host; use a form such as api.example.com, *.example.com or api.example.com:8443: %w", h.Host, Invalid)
	case below && !strings.Contains(plain, "."):
		return fmt.Errorf("the host %.200q covers a whole top-level domain; use a form such as *.example.com: %w", h.Host, Invalid)
	case below && isNumeric(plain):
		return fmt.Errorf("the host %.200q has a wildcard before an address, which cannot match anything; give each address: %w", h.Host, Invalid)
	case h.KeyMS < -1 || h.KeyMS > MaxRetryFor.Milliseconds():
		return fmt.Errorf("the time for which the host honours a key is %d ms; use 1 ms to 366 days, -1 if the host ignores keys, or 0 for not set: %w", h.KeyMS, Invalid)
	case h.KeyMS == 0 && h.RetryForMS == nil:
		return fmt.Errorf("nothing to set for host %s; give the time for which it honours an Idempotency-Key, or for which its calls are retried: %w", h.Host, Invalid)
	}
	return checkRetryFor(h.RetryForMS)
}

// Fits reports how specifically the settings match a server: 0 means no match, and a higher number is more specific.
// A name is more specific than a wildcard, a longer wildcard than a shorter one, and a port more specific than none.
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

// isNumeric reports whether a host, with or without a port, ends like an address: no top-level domain is a number.
func isNumeric(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Contains(name, ":") || last != "" && strings.Trim(last, "0123456789") == ""
}

func checkRetryFor(ms *int64) error {
	if ms != nil && (*ms < 0 || *ms > MaxRetryFor.Milliseconds()) {
		return fmt.Errorf("the retry time is %d ms; use at most 366 days, or 0 for no retries: %w", *ms, Invalid)
	}
	return nil
}
