package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// readLog counts the bytes of logs that the console reads.
type readLog struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w readLog) Write(b []byte) (int, error) {
	w.n.Add(int64(len(b)))
	return w.ResponseWriter.Write(b)
}

// TestInboxReadsTheEndOfTheLog checks that the evidence about a call does not take the whole log of its run, and is complete.
func TestInboxReadsTheEndOfTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("late", "late", map[string]any{"url": s.outside.URL, "n": 400, "each": 1}, nil)
	_, page := s.get("/api/v1/runs/late/log?limit=1000")
	var read atomic.Int64
	api := s.Config.Handler
	h := Handler(Options{Log: nil, API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/log") {
			w = readLog{w, &read}
		}
		api.ServeHTTP(w, r)
	})})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/inbox", nil)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	stages := regexp.MustCompile(`<li class="(\w+)( missing)?"><b>`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(stages) != 4 {
		t.Fatalf("the page has the stages %q:\n%s", stages, w.Body)
	}
	for _, stage := range stages {
		if stage[2] != "" {
			t.Errorf("the page does not know when the call was %s", stage[1])
		}
	}
	if n := read.Load(); n == 0 || len(page) < 100_000 || n > int64(len(page)/4) {
		t.Errorf("the page reads %d bytes of a log of at least %d", n, len(page))
	}
}
