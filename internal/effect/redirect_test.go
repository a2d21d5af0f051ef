package effect_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless/internal/effect"
)

// trailServer records its requests, and redirects /STATUS?to=URL to URL.
type trailServer struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newTrailServer(t *testing.T) *trailServer {
	s := &trailServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, strings.TrimSpace(fmt.Sprintf("%s %s %s auth=%s cookie=%s type=%s key=%s", r.Method, r.URL.Path, body,
			r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("Content-Type"), r.Header.Get("Idempotency-Key"))))
		s.mu.Unlock()
		var status, n int
		if _, err := fmt.Sscanf(r.URL.Path, "/loop/%d", &n); err == nil {
			http.Redirect(w, r, fmt.Sprintf("/loop/%d", n+1), http.StatusFound)
			return
		}
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); err == nil {
			w.Header().Set("Location", r.URL.Query().Get("to"))
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, "there")
	}))
	t.Cleanup(s.Close)
	return s
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	const own = "auth=A cookie=C type=%s key=wkf_x-7"
	for _, row := range []struct {
		name, method, path string
		members            []any
		status             int
		url                string
		seen               []string
	}{
		{"get", "GET", "/302?to=/end%23part", nil, 200, "/end", []string{"GET /302  " + own, "GET /end  " + own}},
		{"head", "HEAD", "/303?to=end", nil, 200, "/end", []string{"HEAD /303  " + own, "HEAD /end  " + own}},
		{"put, 301", "PUT", "/301?to=/end", nil, 200, "/end", []string{"PUT /301 b " + own, "GET /end  auth=A cookie=C type= key=wkf_x-7"}},
		{"put, 308", "PUT", "/308?to=/end", nil, 200, "/end", []string{"PUT /308 b " + own, "PUT /end b " + own}},
		{"post", "POST", "/307?to=/end", nil, 307, "/307?to=/end", []string{"POST /307 b " + own}},
		{"post called idempotent", "POST", "/307?to=/end", []any{"idempotent", true}, 200, "/end", []string{"POST /307 b " + own, "POST /end b " + own}},
		{"get called not idempotent", "GET", "/302?to=/end", []any{"idempotent", false}, 302, "/302?to=/end", []string{"GET /302  " + own}},
		{"none allowed", "GET", "/302?to=/end", []any{"redirects", 0}, 302, "/302?to=/end", []string{"GET /302  " + own}},
		{"too many", "GET", "/loop/0", []any{"redirects", 2}, 302, "/loop/2", []string{"GET /loop/0  " + own, "GET /loop/1  " + own, "GET /loop/2  " + own}},
		{"no location", "GET", "/302", nil, 302, "/302", []string{"GET /302  " + own}},
		{"another scheme", "GET", "/302?to=ftp://x/", nil, 302, "/302?to=ftp://x/", []string{"GET /302  " + own}},
		{"not modified", "GET", "/304?to=/end", nil, 304, "/304?to=/end", []string{"GET /304  " + own}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newTrailServer(t)
			kind, body := "", ""
			if row.method == "PUT" || row.method == "POST" {
				kind, body = "t", "b"
			}
			headers := [][]string{{"Authorization", "A"}, {"Cookie", "C"}}
			if kind != "" {
				headers = append(headers, []string{"Content-Type", kind})
			}
			r := perform(t, newClient(t, effect.ClientOptions{}), call(body, append([]any{"method", row.method, "url", s.URL + row.path, "headers", headers}, row.members...)...))
			h := headOf(t, r)
			if r.Outcome != effect.Answered || h.Status != row.status || h.URL != s.URL+row.url {
				t.Errorf("outcome %d, head %s", r.Outcome, r.Answer.Head)
			}
			var want []string
			for _, w := range row.seen {
				want = append(want, strings.ReplaceAll(w, "%s", kind))
			}
			if d := cmp.Diff(want, s.seen); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRedirectToAnotherOrigin(t *testing.T) {
	t.Parallel()
	a, b := newTrailServer(t), newTrailServer(t)
	r := perform(t, newClient(t, effect.ClientOptions{}), call("", "url", a.URL+"/302?to="+b.URL+"/308?to="+a.URL+"/end",
		"headers", [][]string{{"Authorization", "A"}, {"Cookie", "C"}, {"Host", "a.example"}}))
	if r.Outcome != effect.Answered {
		t.Fatal(r.Text)
	}
	if d := cmp.Diff([]string{"GET /308  auth= cookie= type= key=wkf_x-7"}, b.seen); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"GET /302  auth=A cookie=C type= key=wkf_x-7", "GET /end  auth= cookie= type= key=wkf_x-7"}, a.seen); d != "" {
		t.Error(d)
	}
	if got := stagesOf(r); got != "connected sent answered connected sent answered connected sent answered" {
		t.Error(got)
	}
}

// After the first hop the outside has noticed, even if the next one is not sent.
func TestFailedRedirectIsUnknown(t *testing.T) {
	t.Parallel()
	s := newTrailServer(t)
	r := perform(t, newClient(t, effect.ClientOptions{}), call("", "url", s.URL+"/302?to=http://127.0.0.1:1/"))
	if h := headOf(t, r); r.Outcome != effect.Unknown || h.Error == nil || h.Error.Kind != "unknown" {
		t.Errorf("outcome %d, head %s", r.Outcome, r.Answer.Head)
	}
}
