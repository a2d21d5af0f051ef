package listen

import (
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestGuardAcceptsHosts(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		host                    string
		local, named, elsewhere bool // on loopback, on loopback with additional names, on all interfaces
	}{
		{"localhost", true, true, true},
		{"localhost:27288", true, true, true},
		{"LocalHost.:27288", true, true, true},
		{"shop.localhost:80", true, true, true},
		{"127.0.0.1", true, true, true},
		{"127.9.9.9:1", true, true, true},
		{"[::1]:27288", true, true, true},
		{"[::1]", true, true, true},
		{"[::ffff:127.0.0.1]:80", true, true, true},
		{"flawless.example.com", false, true, false},
		{"Flawless.Example.Com.:443", false, true, false},
		{"runs.example:8443", false, true, false},
		{"[2001:db8::7]:1", false, true, true},
		{"192.0.2.7:27288", false, false, true},
		{"evil.example", false, false, false},
		{"flawless.example.com.evil.example", false, false, false},
		{"127.0.0.1.evil.example", false, false, false},
		{"localhost:x", false, false, false},
		{"localhost:0", false, false, false},
		{"localhost:70000", false, false, false},
		{"localhost:1:2", false, false, false},
		{"[localhost]:1", false, false, false},
		{"::1", false, false, false},
		{"[127.0.0.1]", false, false, false},
		{"[::1", false, false, false},
		{"local host", false, false, false},
		{"localhost/", false, false, false},
		{"127.1", false, false, false},
		{"0x7f.0.0.1", false, false, false},
		{"..", false, false, false},
		{"", false, false, false},
	} {
		for name, d := range map[string]struct {
			names []string
			local bool
			want  bool
		}{"loopback": {nil, true, row.local}, "names": {[]string{"flawless.example.com", "https://runs.example/x", "[2001:db8::7]"}, true, row.named}, "everywhere": {nil, false, row.elsewhere}} {
			door, err := newGuard(d.names, d.local, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := door.answersTo(row.host); got != d.want {
				t.Errorf("%s: host %q is accepted: %v", name, row.host, got)
			}
		}
	}
	for _, bad := range []string{"", "a b", "http://", "a/b", "[x]"} {
		if _, err := newGuard([]string{bad}, true, nil); !errors.Is(err, flawless.Invalid) {
			t.Errorf("the name %q is accepted: %v", bad, err)
		}
	}
}
