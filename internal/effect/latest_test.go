package effect_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// TestAttemptIsNotSentTooLate checks that an attempt is sent in time or not at all. The response may come later.
func TestAttemptIsNotSentTooLate(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name            string
		connect, answer time.Duration
		deaf            bool // connecting ignores its context
		want            effect.Outcome
		text            string
		after           time.Duration
	}{
		{"in time", time.Second, time.Second, false, effect.Answered, "200", 2 * time.Second},
		{"with a slow answer", time.Second, 20 * time.Second, false, effect.Answered, "200", 21 * time.Second},
		{"with no answer", time.Second, time.Hour, false, effect.Unknown, "took longer than 30s", 30 * time.Second},
		{"too late", 7 * time.Second, time.Second, false, effect.NotSent, "before the server may forget its idempotency key", 6 * time.Second},
		{"too late, and it is connected", 7 * time.Second, time.Second, true, effect.NotSent, "before the server may forget its idempotency key", 7 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int32
				stop := make(chan struct{})
				serve := func(c net.Conn) {
					defer c.Close()
					if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
						return
					}
					requests.Add(1)
					select {
					case <-time.After(row.answer):
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					case <-stop:
					}
				}
				c := effect.NewClient(effect.ClientOptions{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					if row.deaf {
						ctx = context.WithoutCancel(ctx)
					}
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(row.connect):
					}
					near, far := net.Pipe()
					go serve(far)
					return near, nil
				}}, nil)
				defer synctest.Wait()
				defer c.Close()
				defer close(stop)
				begun := time.Now()
				r := c.Perform(t.Context(), effect.Attempt{Run: "run", N: 2, Within: 6 * time.Second,
					Call: flawless.Call{N: 1, Kind: effect.HTTP, Head: json.RawMessage(`{"method":"POST","url":"http://a.example/","timeout_ms":30000}`)}})
				if took := time.Since(begun); r.Outcome != row.want || !strings.Contains(r.Text, row.text) || took != row.after {
					t.Errorf("after %v it is %+v", took, r)
				}
				if sent := row.want != effect.NotSent; (requests.Load() == 1) != sent {
					t.Errorf("the server got %d requests", requests.Load())
				}
			})
		})
	}
}
