package library

import (
	"errors"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/value"
)

func TestInvalidKeyWindowsAreRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		keys []flawless.KeyWindow
		want string // "" is accepted
	}{
		{[]flawless.KeyWindow{{Host: "API.example.com", WithinMS: 1}, {Host: "*.example.com:8443", WithinMS: 1}}, ""},
		{[]flawless.KeyWindow{{Host: "api.example.com"}}, "is 0 ms"},
		{[]flawless.KeyWindow{{Host: "api.example.com", WithinMS: -1}}, "is -1 ms"},
		{[]flawless.KeyWindow{{Host: "https://api.example.com", WithinMS: 1}}, "is not a host;"},
		{[]flawless.KeyWindow{{Host: "*.com", WithinMS: 1}}, "top-level domain"},
		{[]flawless.KeyWindow{{Host: "a.example", WithinMS: 1}, {Host: "A.example", WithinMS: 2}}, "twice"},
	} {
		err := checkKeys(row.keys)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v: %v, want %q", row.keys, err, row.want)
		}
	}
}

// TestInvisibleVersionsAreRefused: the command line names a version as its author wrote it.
func TestInvisibleVersionsAreRefused(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]error{"": nil, "1.0.0-rc.1+5": nil, "spring 2026": nil, " ": flawless.Refused, "1.0\u200b": flawless.Refused, "1.0\n": flawless.Refused} {
		m := flawless.Manifest{Version: version, Workflows: []flawless.Workflow{{Name: "w"}}}
		if err := (&Module{schemas: map[string]*value.Schema{}}).check(m); !errors.Is(err, want) {
			t.Errorf("version %q: %v, want %v", version, err, want)
		}
	}
}
