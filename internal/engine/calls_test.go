package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// clients is the guest of testdata/clients, compiled once for all tests.
var clients = sync.OnceValues(func() (c struct {
	bin    []byte
	module *guest.Module
}, err error) {
	dir, err := os.MkdirTemp("", "clients")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "clients.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", "clients")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return c, fmt.Errorf("%v: %s", err, text)
	}
	if c.bin, err = os.ReadFile(out); err != nil {
		return c, err
	}
	c.module, err = fixture().runtime.Load(context.Background(), c.bin, nil)
	return c, err
})

// shop charges whoever asks for it, and answers the first request only when it is let go.
type shop struct {
	*httptest.Server
	asked chan struct{} // one value for each request
	let   chan struct{}

	mu   sync.Mutex
	keys []string // of each request
}

func newShop(t *testing.T) *shop {
	s := &shop{asked: make(chan struct{}, 100), let: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		first := len(s.keys) == 1
		s.mu.Unlock()
		s.asked <- struct{}{}
		if first {
			<-s.let
		}
		fmt.Fprint(w, `{"id":"ch_1"}`)
	}))
	t.Cleanup(func() {
		close(s.let)
		s.Close()
	})
	return s
}

// requests returns how many there were, and with how many keys.
func (s *shop) requests() (n, keys int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys), len(slices.Compact(slices.Sorted(slices.Values(s.keys))))
}

// hasty are the workflows that try again after an error, with the deadlines of Go in all the forms that
// client libraries use.
func hasty() []Start {
	return []Start{{Module: "guest", Workflow: "haste"}, {Module: "clients", Workflow: "net/http"},
		{Module: "clients", Workflow: "retryablehttp"}, {Module: "clients", Workflow: "stripe"}}
}

// openWithClients opens an engine that has the module clients, too.
func openWithClients(t *testing.T, kv *mem.DB, o Options) *Engine {
	t.Helper()
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	c, err := clients()
	if err != nil {
		t.Fatal(err)
	}
	o.Loaded = append(o.Loaded, c.module)
	e := open(t, kv, o)
	if _, _, err := e.AddModule(t.Context(), "clients", c.bin, nil); err != nil {
		t.Fatal(err)
	}
	return e
}

func mustBegin(t *testing.T, e *Engine, s Start, in any) flawless.Run {
	t.Helper()
	s.Input = input(t, in)
	r, _, err := e.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestATimeoutDoesNotOvertakeACallOverARestart: the server dies while a request is under way, and comes
// back an hour after the code's deadline. The request is sent again under the same key, where it is
// idempotent or a person says so, and its answer reaches the code, which would send another one if it were
// told of its deadline instead.
func TestATimeoutDoesNotOvertakeACallOverARestart(t *testing.T) {
	t.Parallel()
	for _, begin := range hasty() {
		for _, idempotent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, idempotent %v", begin.Workflow, idempotent), func(t *testing.T) {
				t.Parallel()
				kv, shop := mem.New(), newShop(t)
				var later atomic.Int64
				how := Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}
				e := openWithClients(t, kv, how)
				id := mustBegin(t, e, begin, map[string]any{"URL": shop.URL, "Timeout": 30 * time.Second, "Idempotent": idempotent}).ID
				<-shop.asked
				e.Kill()
				later.Store(int64(time.Hour))
				e = openWithClients(t, kv, how)
				if !idempotent {
					r := until(t, e, id, unresolved)
					if _, err := e.Resolve(t.Context(), id, flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Retry}); err != nil {
						t.Fatal(err)
					}
				}
				r := mustEnd(t, e, id)
				if n, keys := shop.requests(); r.Status != flawless.Completed || !strings.Contains(string(r.Output), "ch_1") || n != 2 || keys != 1 {
					t.Errorf("%d requests with %d keys; it is %s %s %+v", n, keys, r.Status, r.Output, r.Failure)
				}
				if got, err := e.Replay(t.Context(), id, nil); err != nil || got.Divergence != nil {
					t.Errorf("the replay: %v, %v", got.Divergence, err)
				}
			})
		}
	}
}

// TestATimeoutOfAClientLibraryChargesOnce: the request takes effect and its answer is late. The library
// gets no chance to send it again: its time-out makes the outcome unknown, and a person decides.
func TestATimeoutOfAClientLibraryChargesOnce(t *testing.T) {
	t.Parallel()
	for _, begin := range hasty() {
		for _, resolution := range []flawless.Resolution{flawless.Respond, flawless.Retry} {
			t.Run(fmt.Sprintf("%s, resolved with %s", begin.Workflow, resolution), func(t *testing.T) {
				t.Parallel()
				shop := newShop(t)
				e := openWithClients(t, mem.New(), Options{})
				id := mustBegin(t, e, begin, map[string]any{"URL": shop.URL, "Timeout": time.Second, "Idempotent": false}).ID
				r := until(t, e, id, unresolved)
				if n, _ := shop.requests(); n != 1 {
					t.Errorf("%d requests before anybody has decided", n)
				}
				d := flawless.Decision{Call: r.Unresolved[0].Call, Resolution: resolution}
				want := 2
				if resolution == flawless.Respond {
					d.Body, want = []byte(`{"id":"ch_1"}`), 1
				}
				if _, err := e.Resolve(t.Context(), id, d); err != nil {
					t.Fatal(err)
				}
				r = mustEnd(t, e, id)
				if n, keys := shop.requests(); r.Status != flawless.Completed || !strings.Contains(string(r.Output), "ch_1") || n != want || keys != 1 {
					t.Errorf("%d requests with %d keys; it is %s %s %+v", n, keys, r.Status, r.Output, r.Failure)
				}
			})
		}
	}
}

// TestACancelledRunGetsTheAnswerOfWhatIsUnderWay: a request that is not idempotent is answered after its
// context has ended. The code gets the response.
func TestACancelledRunGetsTheAnswerOfWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	e := open(t, mem.New(), Options{})
	id := mustBegin(t, e, Start{Module: "guest", Workflow: "haste"}, map[string]any{"URL": shop.URL, "Timeout": time.Hour, "Idempotent": false}).ID
	<-shop.asked
	if _, err := e.Cancel(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	untilLogged(t, e, id, func(e flawless.Entry) bool { return called(e, "withdraw") })
	shop.let <- struct{}{}
	if r := mustEnd(t, e, id); r.Status != flawless.Completed || !strings.Contains(string(r.Output), "ch_1") {
		t.Errorf("it is %s %s %+v", r.Status, r.Output, r.Failure)
	}
}

// TestAnAbandonedRequestIsCutOff: nobody waits for it, so it does not keep its run and its connection.
func TestAnAbandonedRequestIsCutOff(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
		close(gone)
	}))
	t.Cleanup(s.Close)
	e := open(t, mem.New(), Options{})
	id := mustBegin(t, e, Start{Module: "guest", Workflow: "haste"}, map[string]any{"URL": s.URL, "Timeout": time.Hour, "Idempotent": true}).ID
	<-asked
	if _, err := e.Cancel(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if r := mustEnd(t, e, id); r.Status != flawless.Cancelled {
		t.Errorf("it is %s %+v", r.Status, r.Failure)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the server still answers it")
	}
}

// called tells whether an entry is a turn that makes a call of a kind.
func called(e flawless.Entry, kind string) bool {
	return e.Turn != nil && slices.ContainsFunc(e.Turn.Calls, func(c flawless.Call) bool { return c.Kind == kind })
}

// untilLogged waits until the log of a run has an entry.
func untilLogged(t *testing.T, e *Engine, id string, what func(flawless.Entry) bool) {
	t.Helper()
	until(t, e, id, func(flawless.Run) bool { return entries(t, e, id, what) > 0 })
}

// entries counts entries in the log of a run.
func entries(t *testing.T, e *Engine, id string, what func(flawless.Entry) bool) (n int) {
	t.Helper()
	log, err := e.Log(context.Background(), id, 0, 0)
	if err != nil && !errors.Is(err, flawless.NotFound) {
		t.Fatal(err)
	}
	for _, rec := range log {
		for _, x := range rec.Entries {
			if what(x) {
				n++
			}
		}
	}
	return n
}
