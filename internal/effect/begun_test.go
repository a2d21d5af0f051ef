package effect

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestShortStreamIsStillAStream has a response that ends before its head is received. Its end must not be taken for
// the whole response.
func TestShortStreamIsStillAStream(t *testing.T) {
	t.Parallel()
	for status, streams := range map[int]bool{200: true, 500: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "short")
		}))
		t.Cleanup(server.Close)
		c := NewClient(ClientOptions{}, nil)
		t.Cleanup(c.Close)
		made := flawless.Call{N: 1, Kind: HTTP, Head: fmt.Appendf(nil, `{"url":%q,"stream":true}`, server.URL)}
		r, err := parseHTTP(made)
		if err != nil {
			t.Fatal(err)
		}
		s, whole := newStream(time.Minute), make(chan Result, 1)
		r.stream = s
		c.fill(s, Attempt{Run: "run", Call: made, N: 1}, r, whole)
		if len(s.head) != map[bool]int{true: 1}[streams] || len(whole) != map[bool]int{false: 1}[streams] {
			t.Errorf("status %d: %d heads and %d whole responses", status, len(s.head), len(whole))
		}
	}
}
