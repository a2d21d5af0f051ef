package listen

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
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

// paged is a handler with pages, and with an API.
type paged struct{ http.Handler }

func (paged) Linkable(r *http.Request) bool { return !strings.HasPrefix(r.URL.Path, "/api/") }

func TestOnlyLinksToPagesComeFromElsewhere(t *testing.T) {
	t.Parallel()
	reached := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	link := map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
	with := func(more ...string) map[string]string {
		out := map[string]string{}
		for name, value := range link {
			out[name] = value
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	for _, row := range []struct {
		name, method, path string
		header             map[string]string
		pages, passes      bool
	}{
		{"a link", "GET", "/runs/x", link, true, true},
		{"a link of another port of this machine", "GET", "/runs/x", with("Sec-Fetch-Site", "same-site"), true, true},
		{"a link to the API", "GET", "/api/v1/runs", link, true, false},
		{"a link to a server without pages", "GET", "/runs/x", link, false, false},
		{"a form that sends something", "POST", "/runs", with("Origin", "http://evil.example"), true, false},
		{"a form that hides where it is from", "POST", "/runs", link, true, false},
		{"only the head of a page", "HEAD", "/runs/x", link, true, false},
		{"a frame", "GET", "/runs/x", with("Sec-Fetch-Dest", "iframe"), true, false},
		{"an object", "GET", "/runs/x", with("Sec-Fetch-Dest", "object"), true, false},
		{"a script that reads", "GET", "/runs/x", with("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"), true, false},
		{"an image", "GET", "/runs/x", with("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), true, false},
		{"a link with an origin", "GET", "/runs/x", with("Origin", "http://evil.example"), true, false},
		{"an older browser", "GET", "/runs/x", map[string]string{"Origin": "http://evil.example"}, true, false},
		{"a browser that does not say where to", "GET", "/runs/x", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, true, false},
	} {
		var next http.Handler = reached
		if row.pages {
			next = paged{reached}
		}
		g, err := Guard(nil, true, next)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), row.method, row.path, nil)
		r.Host = "localhost:27288"
		for name, value := range row.header {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); (w.Code == http.StatusNoContent) != row.passes || !row.passes && w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d", row.name, w.Code)
		}
		r.Host = "evil.example"
		w = httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != http.StatusMisdirectedRequest {
			t.Errorf("%s, to a rebound name: status %d", row.name, w.Code)
		}
	}
}
