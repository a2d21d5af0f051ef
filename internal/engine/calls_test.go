package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/gobuild"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/value"
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
	if err := gobuild.Build(context.Background(), filepath.Join("testdata", "clients"), out); err != nil {
		return c, err
	}
	if c.bin, err = os.ReadFile(out); err != nil {
		return c, err
	}
	c.module, err = fixture().runtime.Load(context.Background(), c.bin, nil)
	return c, err
})

// shop charges every client that asks for it, and answers the first request only when it is released.
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
	return []Start{{Module: "guest", Workflow: "haste"}, {Module: "clients", Workflow: "net-http"},
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
	for i, begin := range append(hasty(), hasty()[0]) {
		in := map[string]any{"Timeout": time.Second, "Idempotent": false}
		name := begin.Workflow
		if i == len(hasty()) { // its confirmation cannot tell, so that the same person is asked by another way
			name, in["Confirm"] = name+", confirmed", true
		}
		for _, resolution := range []flawless.Resolution{flawless.Respond, flawless.Retry} {
			t.Run(fmt.Sprintf("%s, resolved with %s", name, resolution), func(t *testing.T) {
				t.Parallel()
				shop := newShop(t)
				in := maps.Clone(in)
				in["URL"] = shop.URL
				e := openWithClients(t, mem.New(), Options{})
				id := mustBegin(t, e, begin, in).ID
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

// TestCancelledRunGetsAnswersOfCallsInFlight: a request that is not idempotent is answered after its
// context has ended. The code gets the response.
func TestCancelledRunGetsAnswersOfCallsInFlight(t *testing.T) {
	t.Parallel()
	shop := newShop(t)
	e := open(t, mem.New(), Options{})
	id := mustBegin(t, e, Start{Module: "guest", Workflow: "haste"}, map[string]any{"URL": shop.URL, "Timeout": time.Hour, "Idempotent": false}).ID
	<-shop.asked
	if _, err := e.Cancel(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	untilLogged(t, e, id, func(e flawless.Entry) bool { return called(e, effect.Withdraw) })
	shop.let <- struct{}{}
	if r := mustEnd(t, e, id); r.Status != flawless.Completed || !strings.Contains(string(r.Output), "ch_1") {
		t.Errorf("it is %s %s %+v", r.Status, r.Output, r.Failure)
	}
}

// TestAbandonedRequestIsCutOff: nobody waits for it, so it does not keep its run and its connection.
func TestAbandonedRequestIsCutOff(t *testing.T) {
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

// TestNoCallBeginsAfterRunEnded: a call of the run waits for a retry, or for a permit under a limit. Only a
// run that has returned begins it still, and only where it never began.
func TestNoCallBeginsAfterRunEnded(t *testing.T) {
	for _, row := range []struct {
		name   string
		retry  bool // it waits for its second try, else for a place
		end    flawless.Status
		begins int // requests in all
	}{
		{"cancelled, waits for a retry", true, flawless.Cancelled, 1},
		{"cancelled, waits for a place", false, flawless.Cancelled, 0},
		{"failed, waits for a retry", true, flawless.Failed, 1},
		{"failed, waits for a place", false, flawless.Failed, 0},
		{"terminated, waits for a retry", true, flawless.Terminated, 1},
		{"terminated, waits for a place", false, flawless.Terminated, 0},
		{"returned, waits for a retry", true, flawless.Completed, 1},
		{"returned, waits for a place", false, flawless.Completed, 1},
	} {
		for _, restart := range []bool{false, true} {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				kv, x := mem.New(), &exchanges{busy: true}
				e := open(t, kv, Options{Kinds: x.kinds()})
				mustLimit(t, e, "api.example.com", "2/h", 1)
				mustStart(t, e, "chain", map[string]any{"url": "https://api.example.com", "n": 1}, "first") // takes the place
				mustEnd(t, e, "first")
				url := "https://api.example.com"
				if row.retry {
					url = "https://other.example.com"
				}
				mustStart(t, e, "behind", map[string]any{"URL": url, "Retry": row.retry, "Fail": row.end == flawless.Failed}, "run")
				synctest.Wait()
				var err error
				switch row.end {
				case flawless.Cancelled:
					_, err = e.Cancel(t.Context(), "run", flawless.Cancel{})
				case flawless.Terminated:
					_, err = e.Terminate(t.Context(), "run", flawless.Cancel{})
				default:
					_, err = e.Send(t.Context(), "run", flawless.Message{Type: "go on", Body: []byte("1")})
				}
				if err != nil {
					t.Fatal(err)
				}
				if r := mustEnd(t, e, "run"); r.Status != row.end {
					t.Fatalf("%s: it is %s %+v", row.name, r.Status, r.Failure)
				}
				synctest.Wait()
				withdrawn := 0
				for _, l := range e.Limits().List() {
					withdrawn -= l.Waiting
				}
				withdrawn += entries(t, e, "run", func(e flawless.Entry) bool { return e.Arrival != nil && effect.IsWithdrawn(e.Arrival.Answer) })
				if stays := row.end == flawless.Completed && !row.retry; withdrawn != map[bool]int{false: 1, true: -1}[stays] {
					t.Errorf("%s: %d answers say that it was withdrawn, less those that still wait", row.name, withdrawn)
				}
				if restart {
					e.Kill()
					e = open(t, kv, Options{Kinds: x.kinds()})
				}
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if n := x.count("run"); n != row.begins {
					t.Errorf("%s, restart %v: %d requests, want %d", row.name, restart, n, row.begins)
				}
				if head, err := e.store.Head(t.Context(), "run"); err != nil || head.Active || head.Wake != 0 {
					t.Errorf("%s: something of it is left: %+v, %v", row.name, head, err)
				}
				if open := e.Health().Open; open != 0 {
					t.Errorf("%s: %d runs are held in memory", row.name, open)
				}
				e.Kill()
			})
		}
	}
}

// TestDueRetryIsNotSentAfterRunEnded: the retry begins, the run is cancelled and it ends, all in one
// write.
func TestDueRetryIsNotSentAfterRunEnded(t *testing.T) {
	due := time.Time{}
	for _, attempt := range []int{1, 2} { // the second knows when the retry is due
		inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
			x := &exchanges{busy: true}
			e := open(t, mem.New(), Options{Kinds: x.kinds(), Seed: func(string) []byte { return make([]byte, 32) }})
			if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "behind", ID: "run", Deadline: due,
				Input: input(t, map[string]any{"URL": "https://api.example.com", "Retry": true, "Fail": false})}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if attempt == 1 {
				entries(t, e, "run", func(e flawless.Entry) bool {
					if e.Attempt != nil {
						due = time.Unix(0, e.Attempt.Next)
					}
					return false
				})
				e.Kill()
				return
			}
			if r := mustEndAfter(t, e, "run", 2*time.Hour); r.Status != flawless.Cancelled {
				t.Errorf("it is %s %+v", r.Status, r.Failure)
			}
			synctest.Wait()
			if n := x.count("run"); n != 1 {
				t.Errorf("%d requests", n)
			}
			if n := entries(t, e, "run", func(e flawless.Entry) bool {
				return e.Arrival != nil && e.Arrival.Note == "withdrawn before attempt 2 began: the run was cancelled"
			}); n != 1 {
				t.Errorf("the log says %d times what became of it", n)
			}
			e.Kill()
		})
	}
}

// TestReplacedRunSendsNothing: a schedule cancels the run before, which is waiting for its next try.
func TestReplacedRunSendsNothing(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:30Z", func(t *testing.T) {
		x := &exchanges{busy: true}
		e := open(t, mem.New(), Options{Kinds: x.kinds()})
		mustSchedule(t, e, flawless.Schedule{Name: "s", Cron: "* * * * *", Workflow: "insist", Overlap: flawless.Replace,
			Input: input(t, map[string]any{"url": "https://api.example.com", "n": 100})})
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		ended := 0
		for _, id := range runsOf(t, e) {
			r, err := e.Run(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if r.Ended == nil {
				continue
			}
			ended++
			for i, run := range x.runs {
				if run == id && x.at[i].After(*r.Ended) {
					t.Errorf("%s ended at %v and sent a request at %v", id, r.Ended, x.at[i])
				}
			}
		}
		if ended < 10 || len(x.at) < 3*ended {
			t.Errorf("%d runs have ended, with %d requests: the test proves nothing", ended, len(x.at))
		}
		e.Kill()
	})
}

func TestTerminateWithdrawsCallsOfEndedRun(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		x := &exchanges{}
		e := open(t, mem.New(), Options{Kinds: x.kinds()})
		mustLimit(t, e, "api.example.com", "2/h", 1)
		mustStart(t, e, "chain", map[string]any{"url": "https://api.example.com", "n": 1}, "first")
		mustEnd(t, e, "first")
		mustStart(t, e, "behind", map[string]any{"URL": "https://api.example.com", "Retry": false, "Fail": false}, "run")
		if _, err := e.Send(t.Context(), "run", flawless.Message{Type: "go on", Body: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		mustEnd(t, e, "run")
		if r, err := e.Terminate(t.Context(), "run", flawless.Cancel{Who: "ann"}); err != nil || r.Status != flawless.Completed {
			t.Errorf("it is %s, %v", r.Status, err)
		}
		if n := entries(t, e, "run", func(e flawless.Entry) bool {
			return e.Arrival != nil && e.Arrival.Note == "withdrawn before it began: terminated by ann"
		}); n != 1 {
			t.Errorf("the log says so %d times", n)
		}
		if _, err := e.Terminate(t.Context(), "run", flawless.Cancel{}); !errors.Is(err, flawless.Conflict) {
			t.Errorf("where nothing is left: %v", err)
		}
		time.Sleep(24 * time.Hour)
		if n := x.count("run"); n != 0 {
			t.Errorf("%d requests", n)
		}
		e.Kill()
	})
}

// TestHundredCancelledRunsSendNothing: all wait for a permit towards a counting server.
func TestHundredCancelledRunsSendNothing(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	mustLimit(t, e, "127.0.0.1", "1/d", 1)
	task := map[string]any{"url": out.URL, "n": 1}
	mustEnd(t, e, mustStart(t, e, "chain", task, "").ID) // takes the place
	for i := range 100 {
		mustStart(t, e, "chain", task, fmt.Sprint("run-", i))
	}
	for i := range 100 {
		if _, err := e.Cancel(t.Context(), fmt.Sprint("run-", i), flawless.Cancel{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if r := mustEnd(t, e, fmt.Sprint("run-", i)); r.Status != flawless.Cancelled {
			t.Errorf("it is %s %+v", r.Status, r.Failure)
		}
	}
	if err := e.Limits().Remove(t.Context(), "127.0.0.1"); err != nil { // whatever waits begins
		t.Fatal(err)
	}
	mustEnd(t, e, mustStart(t, e, "chain", task, "").ID)
	if n := out.count("/once"); n != 2 {
		t.Errorf("the server saw %d requests, 2 of runs that were not cancelled", n)
	}
}

// TestUndoDoesNotOvertakeItsStep: a saga is cancelled while a PUT and a POST of its step are under way,
// and the step returns without waiting for them.
func TestUndoDoesNotOvertakeItsStep(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	asked := make(chan struct{}, 3)
	let := map[string]chan struct{}{"/post": make(chan struct{}), "/put": make(chan struct{})}
	note := func(what string) { mu.Lock(); defer mu.Unlock(); order = append(order, what) }
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		if until := let[r.URL.Path]; until != nil {
			<-until
		}
		note(r.URL.Path)
	}))
	t.Cleanup(s.Close)
	e := open(t, mem.New(), Options{})
	id := mustStart(t, e, "undone", map[string]any{"url": s.URL}, "").ID
	<-asked
	<-asked
	if _, err := e.Cancel(t.Context(), id, flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	untilLogged(t, e, id, func(e flawless.Entry) bool { return called(e, effect.Withdraw) })
	posted := 0
	close(let["/post"])
	untilLogged(t, e, id, func(e flawless.Entry) bool { // the code knows of the POST, and of nothing else
		if e.Arrival != nil && !effect.IsWithdrawn(e.Arrival.Answer) {
			posted = e.Arrival.Call
		}
		return e.Turn != nil && posted > 1 && slices.Contains(e.Turn.Answers, posted)
	})
	if n := entries(t, e, id, func(e flawless.Entry) bool {
		return e.Turn != nil && slices.ContainsFunc(e.Turn.Calls, func(c flawless.Call) bool { return strings.Contains(string(c.Head), "/undo") })
	}); n > 0 {
		t.Error("the undo is asked for while the PUT is under way")
	}
	close(let["/put"])
	if r := mustEnd(t, e, id); r.Status != flawless.Cancelled {
		t.Errorf("it is %s %+v", r.Status, r.Failure)
	}
	if !slices.Equal(order, []string{"/post", "/put", "/undo"}) {
		t.Errorf("the server saw %v", order)
	}
	if err := e.verify(t.Context(), id); err != nil {
		t.Errorf("the replay: %v", err)
	}
}

// slowServer serves requests in virtual time, and keeps the order in which they take effect. One to /slow
// takes effect after ten seconds, whether or not the engine still waits for it. One to /busy gets 503, one to
// /full is never sent, and one to /cut gets no complete response.
type slowServer struct {
	mu   sync.Mutex
	took []string // paths, in the order of their effects
}

func (s *slowServer) kinds() []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = s.perform
		}
	}
	return kinds
}

func (s *slowServer) perform(_ context.Context, t effect.Attempt) effect.Result {
	var h struct {
		URL     string
		Timeout int64 `json:"timeout_ms"`
	}
	if err := json.Unmarshal(t.Call.Head, &h); err != nil {
		panic(err)
	}
	path := strings.TrimPrefix(h.URL, "https://api.example.com")
	wait := time.Duration(0)
	if path == "/slow" {
		wait = 10 * time.Second
	}
	time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.took = append(s.took, path)
	})
	failed := func(kind string, o effect.Outcome) effect.Result {
		head := fmt.Sprintf(`{"error":{"kind":%q,"reason":"timeout","message":"too slow"}}`, kind)
		return effect.Result{Outcome: o, Text: kind, Reason: "timeout", Answer: flawless.Answer{Call: t.Call.N, Head: []byte(head)}}
	}
	timeout := time.Duration(h.Timeout) * time.Millisecond
	switch {
	case path == "/full":
		time.Sleep(timeout)
		return failed("not_sent", effect.NotSent)
	case timeout > 0 && timeout < wait:
		time.Sleep(timeout)
		return failed("unknown", effect.Unknown)
	case path == "/busy":
		return status(503, true, 0)
	case path == "/cut":
		time.Sleep(2 * time.Second)
		return failed("interrupted", effect.Unknown)
	}
	time.Sleep(wait + time.Millisecond) // the response is later than the effect
	a, _ := effect.ResponseAnswer(t.Call.N, 200, []byte("did "+path))
	return effect.Result{Outcome: effect.Answered, Answer: a}
}

const tooLate = "the saga is being undone: context canceled"

// TestUndoDoesNotOvertakeCallsOfItsStep: a step begins something, and fails before that has taken
// effect.
func TestUndoDoesNotOvertakeCallsOfItsStep(t *testing.T) {
	for _, row := range []struct {
		do    string
		limit time.Duration
		told  string
		order string
		most  time.Duration // until the run has ended
	}{
		{"wait for a child", time.Second, "did /work", "/work /undo", time.Minute},
		{"leave a child", 0, "", "/work /undo", time.Minute},
		{"leave a detached child", 0, "", "/undo", time.Second},
		{"leave a retry", 0, tooLate, "/busy /undo", time.Minute},
		{"put", time.Second, "did /slow", "/slow /undo", time.Minute},
		{"leave a wait for two children", 0, "", "/work /work /undo", time.Minute},
		{"leave a confirmation", 0, "<nil>", "/cut /ask /undo", time.Minute},
		{"leave a saga", 0, "", "/slow /inner /undo", time.Minute},
		{"leave what comes too late", 0, tooLate + ", " + tooLate + ", " + tooLate, "/undo", time.Minute},
	} {
		t.Run(row.do, func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				s := &slowServer{}
				e := open(t, mem.New(), Options{Kinds: s.kinds()})
				began := time.Now()
				id := mustStart(t, e, "doomed", map[string]any{"URL": "https://api.example.com", "Do": row.do, "Limit": row.limit}, "").ID
				r := mustEnd(t, e, id)
				if took := time.Since(began); r.Status != flawless.Completed || took > row.most {
					t.Errorf("after %v it is %s: %+v", took, r.Status, r.Failure)
				}
				s.mu.Lock()
				order := strings.Join(s.took, " ")
				s.mu.Unlock()
				if order != row.order {
					t.Errorf("the server saw %q, not %q", order, row.order)
				}
				if want := fmt.Sprintf("%q", row.told); string(r.Output) != want {
					t.Errorf("the step was told %s, not %s", r.Output, want)
				}
				if err := e.verify(t.Context(), id); err != nil {
					t.Errorf("the replay: %v", err)
				}
				e.Kill()
			})
		})
	}
}

// TestDeadlineIsReportedAsOneError: a run sees the end of a request's time and of its context in the same turn, as it
// was paused. Which of them its code looks at first makes no difference.
func TestDeadlineIsReportedAsOneError(t *testing.T) {
	for name, path := range map[string]string{"unknown": "/slow", "not sent": "/full"} {
		t.Run(name, func(t *testing.T) {
			inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
				s := &slowServer{}
				e := open(t, mem.New(), Options{Kinds: s.kinds()})
				id := mustStart(t, e, "overdue", map[string]any{"url": "https://api.example.com", "other": path}, "").ID
				synctest.Wait()
				must(e.Pause(t.Context(), id, flawless.Pause{}))
				time.Sleep(2 * time.Second)
				must(e.Pause(t.Context(), id, flawless.Pause{Resume: true}))
				if r := mustEnd(t, e, id); string(r.Output) != `"*errors.errorString my time is over"` {
					t.Errorf("it is %s: %s %+v", r.Status, r.Output, r.Failure)
				}
				e.Kill()
			})
		})
	}
}

// TestDeathAtEveryWriteOfWithdrawingRun: requests are withdrawn at every stage of their life, and the
// server dies before and after every write.
func TestDeathAtEveryWriteOfWithdrawingRun(t *testing.T) {
	t.Parallel()
	for _, row := range lots() {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after it %v", row.name, after), func(t *testing.T) {
				t.Parallel()
				n, pace := 1, 1
				if testing.Short() {
					pace = 3
				}
				for withdrawing(t, fmt.Sprintf("write %d", n), row, n, after) {
					n += pace
				}
				if n < 5 {
					t.Errorf("it died at %d writes only: the test proves nothing", n)
				}
			})
		}
	}
}

func withdrawing(t *testing.T, name string, l lot, left int, after bool) (died bool) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string]int{}
	count := func(path string) int { mu.Lock(); defer mu.Unlock(); return seen[path] }
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		seen[r.URL.Path]++
		first := seen[r.URL.Path] == 1
		mu.Unlock()
		if first && strings.HasPrefix(r.URL.Path, "/slow") {
			<-r.Context().Done()
		}
		fmt.Fprintf(w, "did %s", r.URL.Path)
	}))
	defer s.Close()
	d := l.disk()
	begin := Start{Module: "guest", Workflow: "withdrawals", Input: input(t, map[string]any{"url": s.URL}), ID: "run"}
	died = runUntilDeath(t, name, d, newMortal(d.open(t), left, after), l.how, begin)
	e, r := settle(t, name, d.open(t), l.how, begin, func(doubt flawless.Doubt) (string, bool) {
		path := strings.TrimPrefix(doubt.Request, "POST "+s.URL)
		// A request whose time was over may reach the server later than the decision.
		return "did " + path, count(path) > 0 || strings.Contains(doubt.Reason, "no complete response came")
	})
	defer d.crash()
	defer e.Kill()
	var out map[string]string
	if r.Status != flawless.Completed || json.Unmarshal(r.Output, &out) != nil {
		t.Fatalf("%s: it is %+v %+v", name, r, r.Failure)
	}
	for path, at := range map[string]struct{ least, most int }{"/never": {0, 0}, "/last": {1, 1}, "/busy": {0, 1}, "/slow": {0, 1}} {
		n, told := count(path), out[path]
		if n < at.least || n > at.most {
			t.Errorf("%s: %s was seen %d times, and the code was told %q", name, path, n, told)
		}
		if did := told == "did "+path; !did && path == "/last" || path == "/never" && told != "cancelled" {
			t.Errorf("%s: %s was seen %d times, and the code was told %q", name, path, n, told)
		}
	}
	if told := out["/slow"]; count("/slow") == 1 && told != "did /slow" {
		t.Errorf("%s: a request that is not idempotent took effect, and the code was told %q", name, told)
	}
	checkLog(t, e, name)
	return died
}

// TestForkDoesNotInheritLaterWithdrawal: its code has not withdrawn the call yet. With the world closed it
// learns of it when it does so.
func TestForkDoesNotInheritLaterWithdrawal(t *testing.T) {
	inTimeFrom(t, "2026-01-01T00:00:00Z", func(t *testing.T) {
		x := &exchanges{busy: true}
		e := open(t, mem.New(), Options{Kinds: x.kinds()})
		id := mustStart(t, e, "withdrawals", map[string]any{"url": "https://api.example.com"}, "").ID
		r := mustEnd(t, e, id)
		if !strings.Contains(string(r.Output), `"/busy":"deadline"`) || !strings.Contains(string(r.Output), `"/never":"cancelled"`) {
			t.Fatalf("it is %s %s", r.Status, r.Output)
		}
		made := 0 // the turn that makes the calls which have little time
		for _, rec := range must(e.Log(t.Context(), id, 0, 0)) {
			for _, x := range rec.Entries {
				if x.Turn != nil && len(x.Turn.Calls) >= 3 {
					made = x.Turn.N
				}
			}
		}
		for turn := 0; turn <= made; turn += made {
			out, err := e.Offline(t.Context(), id, Fork{Turn: turn})
			if err != nil || len(out.Would) > 0 || len(out.Waits) > 0 || out.Ended == nil || !value.SameJSON(out.Ended.Output, r.Output) {
				t.Errorf("from turn %d with the world closed: %+v, %v", turn, out, err)
			}
		}
		if _, err := e.Fork(t.Context(), id, Fork{Turn: made, ID: "fork"}); err != nil {
			t.Fatal(err)
		}
		if r := until(t, e, "fork", unresolved); len(r.Unresolved) != 1 || !strings.HasSuffix(r.Unresolved[0].Request, "/busy") {
			t.Errorf("the fork is %+v", r)
		}
		e.Kill()
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// called reports whether an entry is a turn that makes a call of a kind.
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
