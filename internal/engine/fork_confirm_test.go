package engine

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// charger cuts the first charge of a fork, and lets nothing come of those of the run it was forked from.
type charger struct {
	found int // the status of what is asked about a charge
	stop  bool

	mu   sync.Mutex
	seen []string
	open chan string
	end  chan struct{}
}

func (c *charger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	key := r.Header.Get("Idempotency-Key")
	if r.Method == http.MethodGet {
		key = strings.TrimPrefix(r.URL.Path, "/find/")
	}
	c.mu.Lock()
	before := slices.Contains(c.seen, r.Method+" "+key)
	c.seen = append(c.seen, r.Method+" "+key)
	c.mu.Unlock()
	switch {
	case r.Method == http.MethodGet:
		w.WriteHeader(c.found)
		fmt.Fprint(w, "found "+key)
	case before:
		fmt.Fprint(w, "charged "+key)
	case c.stop || !strings.HasPrefix(key, "fork"):
		c.open <- key
		<-c.end
	default:
		panic(http.ErrAbortHandler)
	}
}

// TestForkConfirmsWithKeyThatWasSent: a fork sends under its own id, and the code in it was told the id
// of the run it was forked from.
func TestForkConfirmsWithKeyThatWasSent(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		found  int
		kill   bool // the engine, instead of the connection
		output string
		seen   []string
	}{
		{"it happened", 200, false, `"found fork-2"`, []string{"POST fork-2", "GET fork-2"}},
		{"it did not happen", 404, false, `"charged fork-2"`, []string{"POST fork-2", "GET fork-2", "POST fork-2"}},
		{"the engine dies", 404, true, `"charged fork-2"`, []string{"POST fork-2", "GET fork-2", "POST fork-2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			out := &charger{found: row.found, stop: row.kill, open: make(chan string, 2), end: make(chan struct{})}
			s := httptest.NewServer(out)
			t.Cleanup(s.Close)
			t.Cleanup(func() { close(out.end) })
			kv := mem.New()
			e := open(t, kv, Options{})
			mustStart(t, e, "find", map[string]any{"url": s.URL}, "r")
			<-out.open
			mustFork(t, e, "r", Fork{Turn: 1, ID: "fork"})
			d := flawless.Decision{Call: until(t, e, "fork", unresolved).Unresolved[0].Call, Resolution: flawless.Retry}
			if _, err := e.Resolve(t.Context(), "fork", d); err != nil {
				t.Fatal(err)
			}
			if row.kill {
				<-out.open
				e.Kill()
				e = open(t, kv, Options{})
			}
			if r := mustEnd(t, e, "fork"); string(r.Output) != row.output {
				t.Errorf("the fork is %s with %s, %+v", r.Status, r.Output, r.Failure)
			}
			out.mu.Lock()
			defer out.mu.Unlock()
			seen := slices.DeleteFunc(slices.Clone(out.seen), func(s string) bool { return strings.HasSuffix(s, " r-2") })
			if !slices.Equal(seen, row.seen) { // what the other run did does not count
				t.Errorf("outside it was %q, want %q", out.seen, row.seen)
			}
		})
	}
}
