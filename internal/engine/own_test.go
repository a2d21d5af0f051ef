package engine

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestPublishedClientsWithOwnTransports: libraries that know nothing of the engine call through it,
// and what cannot be called says so, and where. What else programs take for granted works, or says what to do.
func TestPublishedClientsWithOwnTransports(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		user, password, _ := r.BasicAuth()
		switch {
		case r.Header.Get("Idempotency-Key") == "":
			w.WriteHeader(http.StatusTeapot) // it did not come from the engine
		case strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIA/"):
			fmt.Fprint(w, "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>4711</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")
		default:
			fmt.Fprint(w, "hello "+user+password)
		}
	}))
	t.Cleanup(s.Close)
	e := openWithClients(t, mem.New(), Options{})
	const sockets = "guests have no sockets: make HTTP requests with package nethttp"
	const listens = "guests have no sockets, so nobody can connect to a run: to be called from outside, wait for a message or a promise"
	const processes = "guests cannot start processes: do the work in Go, or call a service over HTTP"
	const files = "a run has no files; it reaches the outside only through calls. Embed files to read with go:embed"
	for _, row := range []struct{ client, url, want, fails string }{
		{"http.Transport", s.URL, "200 hello ", ""},
		{"http.Get", strings.Replace(s.URL, "//", "//ann:pw@", 1), "200 hello annpw", ""},
		{"retryablehttp", s.URL, "200 hello ", ""},
		{"aws", s.URL, "200 4711", ""},
		{"net.Dial", "127.0.0.1:5432", "", sockets},
		{"net.Dial", "db.example.com:5432", "", sockets},
		{"net.Listen", "127.0.0.1:8080", "", listens},
		{"net.ListenPacket", ":8080", "", listens},
		{"exec.Command", "/bin/true", "", processes},
		{"exec.Command", "true", "", processes},
		{"os.ReadFile", "config.json", "", files},
		{"os.WriteFile", "/tmp/report", "", files},
		{"os.Open", "/etc/hosts", "", files},
		{"os.Pipe", "", "", "a run has no operating system; it reaches the outside only through calls"},
		{"time.LoadLocation", "Europe/Berlin", "12:00 CEST +0200", ""},
		{"time.LoadLocation", "Asia/Kolkata", "12:00 IST +0530", ""},
		{"time.LoadLocation", "Mars/Phobos", "", "this is the error of time.LoadLocation for an unknown time zone"},
		{"signal.Notify", "", "no signal", ""},
		{"os.Args", "", "workflow", ""},
	} {
		t.Run(row.client+" "+row.url, func(t *testing.T) {
			before := requests.Load()
			r := mustEnd(t, e, mustBegin(t, e, Start{Module: "clients", Workflow: "own"}, map[string]any{"URL": row.url, "Client": row.client}).ID)
			if row.fails != "" {
				if r.Failure == nil || !strings.Contains(r.Failure.Message, row.fails) || strings.HasPrefix(row.fails, "guests") && !strings.Contains(r.Failure.Message, "(own.go:") {
					t.Errorf("it is %s %+v", r.Status, r.Failure)
				}
				return
			}
			if strings.Contains(row.url, "http://") {
				before++ // it calls the server
			}
			if r.Status != flawless.Completed || string(r.Output) != `"`+row.want+`"` || requests.Load() != before {
				t.Errorf("it is %s %s %+v after %d requests", r.Status, r.Output, r.Failure, requests.Load()-before)
			}
			if got, err := e.Replay(t.Context(), r.ID, nil); err != nil || got.Divergence != nil {
				t.Errorf("the replay: %v, %v", got.Divergence, err)
			}
		})
	}
}
