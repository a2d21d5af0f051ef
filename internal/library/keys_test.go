package library

import (
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
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
