package effect_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
)

// TestAnswersDoNotShareMemory checks that an answer does not change when others are read from the same connection.
func TestAnswersDoNotShareMemory(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		http2 bool
		size  int
	}{{"short, HTTP/1.1", false, 20}, {"long, HTTP/1.1", false, 100 << 10}, {"short, HTTP/2", true, 20}, {"long, HTTP/2", true, 100 << 10}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			s, trust := secure(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				digit := fmt.Sprint(n.Add(1))
				w.Header().Set("Digit", strings.Repeat(digit, 20))
				_, _ = w.Write([]byte(strings.Repeat(digit, row.size)))
			}), row.http2)
			c := newClient(t, effect.ClientOptions{TLS: trust})
			var results []effect.Result
			for range 5 {
				results = append(results, perform(t, c, call("", "url", s.URL)))
			}
			for k, r := range results {
				digit := fmt.Sprint(k + 1)
				if r.Outcome != effect.Answered || string(r.Answer.Body) != strings.Repeat(digit, row.size) || !strings.Contains(string(r.Answer.Head), strings.Repeat(digit, 20)) {
					t.Errorf("answer %d: %v, %.200s %.50s", k+1, r.Outcome, r.Answer.Head, r.Answer.Body)
				}
			}
		})
	}
}
