package engine

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// tally is a server that counts requests by their Idempotency-Key, and refuses the first one if it is busy.
type tally struct {
	*httptest.Server
	mu   sync.Mutex
	busy bool
	keys map[string]int
	took chan struct{}
}

func newTally(t *testing.T, busy bool) *tally {
	s := &tally{busy: busy, keys: map[string]int{}, took: make(chan struct{}, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.keys[r.Header.Get("Idempotency-Key")]++
		if s.busy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		s.busy = false
		s.mu.Unlock()
		_, _ = fmt.Fprint(w, `{"id":"ch_1"}`)
		s.took <- struct{}{}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tally) seen(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[key]
}

// TestOverdueTimeoutPrecedesOverdueAttempt: both the deadline of a call that waits and its next try, or its
// permit under a limit, are overdue when the guest can continue again. The deadline counts first, whichever was due
// first: the code withdraws the call, which never begins, and its own next try is the only one. A try that began
// instead would be abandoned at once, and the code would charge a second time.
func TestOverdueTimeoutPrecedesOverdueAttempt(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name           string
		limited, crash bool
		timeout        time.Duration // the try is due after two hours at most, the place after a day
	}{
		{"a retry after a crash", false, true, time.Hour},
		{"a retry after a pause", false, false, time.Hour},
		{"a retry due before the deadline, after a crash", false, true, 3 * time.Hour},
		{"a retry due before the deadline, after a pause", false, false, 3 * time.Hour},
		{"a place after a crash", true, true, time.Hour},
		{"a place after a pause", true, false, time.Hour},
		{"a place due before the deadline, after a crash", true, true, 30 * time.Hour},
	} {
		for _, idempotent := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, idempotent %v", row.name, idempotent), func(t *testing.T) {
				t.Parallel()
				kv, server := mem.New(), newTally(t, !row.limited)
				var later atomic.Int64
				how := Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}
				e := open(t, kv, how)
				first := 1 // request that the server sees
				if row.limited {
					mustLimit(t, e, "127.0.0.1", "1/d", 1)
					mustEnd(t, e, mustStart(t, e, "chain", map[string]any{"url": server.URL, "n": 1}, "first").ID)
					<-server.took
					first = 0
				}
				in := map[string]any{"URL": server.URL, "Timeout": row.timeout, "Idempotent": idempotent, "Retry": true}
				mustStart(t, e, "haste", in, "run")
				if first == 1 {
					<-server.took
				}
				until(t, e, "run", func(r flawless.Run) bool {
					log, err := e.Log(t.Context(), "run", 0, 0)
					if err != nil {
						t.Fatal(err)
					}
					for _, rec := range log {
						for _, x := range rec.Entries {
							if x.Attempt != nil && (x.Attempt.Next != 0 || x.Attempt.Waits != "") {
								return true
							}
						}
					}
					return false
				})
				if row.crash {
					e.Kill()
				} else if _, err := e.Pause(t.Context(), "run", flawless.Pause{}); err != nil {
					t.Fatal(err)
				}
				later.Store(int64(48 * time.Hour))
				if row.crash {
					e = open(t, kv, how)
				} else if _, err := e.Pause(t.Context(), "run", flawless.Pause{Resume: true}); err != nil {
					t.Fatal(err)
				}
				r := mustEnd(t, e, "run")
				if r.Status != flawless.Completed || server.seen("run-2") != first || server.seen("run-4") != 1 {
					t.Errorf("it is %s %s %+v; the server saw %v", r.Status, r.Output, r.Failure, server.keys)
				}
				if got, err := e.Replay(t.Context(), "run", nil); err != nil || got.Divergence != nil {
					t.Errorf("the replay: %v, %v", got.Divergence, err)
				}
			})
		}
	}
}

// TestDeadlineEndsQueuedRun: the deadline of a run, and its permit under a limit, came while the server
// was down. The run is cancelled and sends nothing.
func TestDeadlineEndsQueuedRun(t *testing.T) {
	t.Parallel()
	kv, server := mem.New(), newTally(t, false)
	var later atomic.Int64
	how := Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}
	e := open(t, kv, how)
	mustLimit(t, e, "127.0.0.1", "1/d", 1)
	mustEnd(t, e, mustStart(t, e, "chain", map[string]any{"url": server.URL, "n": 1}, "first").ID)
	in := input(t, map[string]any{"URL": server.URL, "Timeout": 100 * time.Hour, "Idempotent": false})
	if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "haste", Input: in, ID: "run", Deadline: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	until(t, e, "run", func(r flawless.Run) bool { return r.Calls > 1 })
	e.Kill()
	later.Store(int64(48 * time.Hour))
	e = open(t, kv, how)
	if r := mustEnd(t, e, "run"); r.Status != flawless.Cancelled || server.seen("run-2") != 0 {
		t.Errorf("it is %s %+v; the server saw %v", r.Status, r.Failure, server.keys)
	}
}
