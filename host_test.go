package flawless

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCanonicalHosts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"API.Example.com":       "api.example.com",
		"api.example.com.":      "api.example.com",
		"api.example.com.:8443": "api.example.com:8443",
		"localhost.":            "localhost",
		"*.example.com.":        "*.example.com",
		"[::1]":                 "::1",
		"0:0:0:0:0:0:0:1":       "::1",
		"[0:0::1]:8080":         "[::1]:8080",
		"::1":                   "::1",
		"127.0.0.1:80":          "127.0.0.1:80",
		"":                      "",
		".":                     ".",
		"[a]":                   "[a]",
	} {
		if got := CanonicalHost(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
		if again := CanonicalHost(want); again != want {
			t.Errorf("%q becomes %q", want, again)
		}
	}
}

// TestHostFits: a setting for a host holds for the host however a call writes it, and a pattern that can fit
// no host is refused.
func TestHostFits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ pattern, host, port string }{
		{"[::1]", "::1", "80"},
		{"[::1]:8080", "::1", "8080"},
		{"0:0::1", "::1", "80"},
		{"localhost.", "localhost", "80"},
		{"localhost", "localhost.", "80"},
		{"*.example.com.", "api.example.com", "443"},
		{"*.example.com:8443", "api.example.com.", "8443"},
		{"127.0.0.1", "127.0.0.1", "80"},
	} {
		h := Host{Host: row.pattern, KeyMS: time.Hour.Milliseconds()}
		if err := h.Check(); err != nil || h.Fits(CanonicalHost(row.host), row.port) == 0 {
			t.Errorf("%s does not fit %s:%s: %v", row.pattern, row.host, row.port, err)
		}
		l := Limit{Host: row.pattern, Count: 1, PeriodMS: 1000}
		if err := l.Check(); err != nil && !strings.HasPrefix(row.pattern, "*") {
			t.Errorf("a limit for %s: %v", row.pattern, err)
		}
	}
	for _, pattern := range []string{"*.127.0.0.1", "*.0.0.1", "*.0.0.1:80", "*.::1", "*.[::1]:80", "*.[::1]", "*", "*.com", "*.*.example.com", "[a]", "[::1", "..", "", "a..b", "-", "*.-.-", "-:80"} {
		h := Host{Host: pattern, KeyMS: 1}
		if err := h.Check(); !errors.Is(err, Invalid) {
			t.Errorf("%q is taken: %v", pattern, err)
		}
	}
}
