package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// fixture is the guest of testdata, compiled once for all tests.
var fixture = sync.OnceValue(func() (f struct {
	bin     []byte
	runtime *guest.Runtime
	module  *guest.Module
	err     error
}) {
	dir, err := os.MkdirTemp("", "engine")
	if err != nil {
		f.err = err
		return f
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		f.err = fmt.Errorf("%v: %s", err, text)
		return f
	}
	if f.bin, f.err = os.ReadFile(out); f.err != nil {
		return f
	}
	if f.runtime, f.err = guest.NewRuntime(context.Background(), guest.Options{}); f.err == nil {
		f.module, f.err = f.runtime.Load(context.Background(), f.bin, nil)
	}
	return f
})

// open opens an engine over a database.
func open(t testing.TB, kv store.KV, o Options) *Engine {
	t.Helper()
	e, err := tryOpen(t, kv, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Kill)
	return e
}

func tryOpen(t testing.TB, kv store.KV, o Options) (*Engine, error) {
	t.Helper()
	e, err := reopen(t, kv, o)
	if err != nil {
		return nil, err
	}
	if _, _, err := e.AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
		e.Kill()
		return nil, err
	}
	return e, nil
}

// reopen opens an engine over a database as it is, without adding the module to it.
func reopen(t testing.TB, kv store.KV, o Options) (*Engine, error) {
	t.Helper()
	f := fixture()
	if f.err != nil {
		t.Fatal(f.err)
	}
	s, err := store.Open(t.Context(), storetest.Lent(kv))
	if err != nil {
		return nil, err
	}
	o.Store, o.Guest = s, f.runtime
	o.Loaded = slices.Concat(o.Loaded, compiledEditions(), []*guest.Module{f.module})
	o.Memory = cmp.Or(o.Memory, -1) // other tests take memory, too
	if o.Kinds == nil {
		o.Kinds = effect.Kinds(effect.Options{})
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if sp, ok := kv.(store.Spacer); ok && o.Space == nil {
		o.Space = sp
	}
	return Open(t.Context(), o)
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	return len(b), nil
}

// outside is a server that counts what it is asked for.
type outside struct {
	*httptest.Server
	mu    sync.Mutex
	seen  map[string]int
	keys  map[string]int
	delay func(path string)
}

func newOutside(t testing.TB) *outside {
	o := &outside{seen: map[string]int{}, keys: map[string]int{}}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		o.mu.Lock()
		o.seen[r.URL.Path]++
		o.keys[r.Header.Get("Idempotency-Key")]++
		delay := o.delay
		o.mu.Unlock()
		if delay != nil {
			delay(r.URL.Path)
		}
		fmt.Fprintf(w, "did %s", r.URL.Path)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *outside) count(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[path]
}

// deadURL is an address on which nobody listens: a port that was free a moment ago may be another test's by now,
// this one is never used.
const deadURL = "http://127.0.0.1:1"

func input(t testing.TB, v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustStart(t testing.TB, e *Engine, workflow string, in any, id string) flawless.Run {
	t.Helper()
	r, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: workflow, Input: input(t, in), ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustEnd(t testing.TB, e *Engine, id string) flawless.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := e.Wait(ctx, id)
	if err != nil {
		t.Fatalf("waiting for %s: %v; it is %+v", id, err, r)
	}
	return r
}

// until waits for a state of the run.
func until(t testing.TB, e *Engine, id string, what func(flawless.Run) bool) flawless.Run {
	t.Helper()
	topic, done := e.hub.Follow(id)
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		changed := topic.Changed()
		r, err := e.Run(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if what(r) {
			return r
		}
		if err := e.await(ctx, id, changed); err != nil {
			t.Fatalf("%v; it is %+v", err, r)
		}
	}
}

func unresolved(r flawless.Run) bool { return r.Status == flawless.Unresolved }

type counting struct {
	store.KV
	applies atomic.Int64
}

func (c *counting) Apply(ctx context.Context, b *store.Batch) error {
	c.applies.Add(1)
	return c.KV.Apply(ctx, b)
}

func TestEmptyRunTakesOneWrite(t *testing.T) {
	t.Parallel()
	kv := &counting{KV: mem.New()}
	e := open(t, kv, Options{Patience: time.Minute})
	before := kv.applies.Load()
	r := mustStart(t, e, "empty", map[string]int{"a": 1}, "")
	if r.Status != flawless.Completed || string(r.Output) != `{"a":1}` {
		t.Errorf("it is %+v", r)
	}
	if n := kv.applies.Load() - before; n != 1 {
		t.Errorf("it took %d writes, want 1", n)
	}
}

func TestChainOfNCallsTakesNPlusOneWrites(t *testing.T) {
	t.Parallel()
	kv, out := &counting{KV: mem.New()}, newOutside(t)
	e := open(t, kv, Options{Patience: time.Minute})
	before := kv.applies.Load()
	r := mustEnd(t, e, mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 10}, "").ID)
	if r.Status != flawless.Completed || out.count("/once") != 10 {
		t.Fatalf("it is %+v, and the outside saw %d", r, out.count("/once"))
	}
	if n := kv.applies.Load() - before; n != 11 {
		t.Errorf("10 calls took %d writes, want 11", n)
	}
	if r.Turns != 11 || r.Calls != 11 || r.Cost == 0 {
		t.Errorf("turns %d, calls %d, cost %d", r.Turns, r.Calls, r.Cost)
	}
}

func TestEveryKindOfCall(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	r := mustEnd(t, e, mustStart(t, e, "everything", map[string]any{"url": out.URL, "dead": deadURL}, "order-1").ID)
	if r.Status != flawless.Completed {
		t.Fatalf("it is %+v", r)
	}
	for _, want := range []string{`"Once":"did /once"`, `"Put":"did /idempotent"`, `"Get":"did /get"`, `"NotSent":"dial"`, `"Told":"did /told"`, `"Slept":true`} {
		if !strings.Contains(string(r.Output), want) {
			t.Errorf("output %s lacks %s", r.Output, want)
		}
	}
	if d, err := e.Data(t.Context(), r.ID); err != nil || string(d) != `{"after":"all"}` {
		t.Errorf("data %s, %v", d, err)
	}
	if out.keys["order-1-2"] != 1 {
		t.Errorf("idempotency keys %v", out.keys)
	}
}

func TestSameIDStartsOneRun(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "empty", 1, "key")
	for range 2 {
		r, started, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Input: []byte("1"), ID: "key"})
		if err != nil || started || r.ID != "key" {
			t.Errorf("the second start: %+v, %v, %v", r, started, err)
		}
		if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Input: []byte("2"), ID: "key"}); !errors.Is(err, flawless.Conflict) {
			t.Errorf("another input: %v", err)
		}
		e.Kill()
		e = open(t, kv, Options{})
	}
}

func TestInvalidStartsAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for _, row := range []struct {
		name string
		s    Start
		code flawless.Code
		text string
	}{
		{"no such module", Start{Module: "nobody", Workflow: "w"}, flawless.NotFound, "nobody"},
		{"no such workflow", Start{Module: "guest", Workflow: "nothing"}, flawless.NotFound, "everything"},
		{"input that is not JSON", Start{Module: "guest", Workflow: "once", Input: []byte(`{"url":`)}, flawless.Invalid, "JSON"},
		{"input of another type", Start{Module: "guest", Workflow: "once", Input: []byte(`{"url":7}`)}, flawless.Invalid, "url"},
		{"input that lacks a member", Start{Module: "guest", Workflow: "once", Input: []byte(`{}`)}, flawless.Invalid, "url"},
		{"a bad id", Start{Module: "guest", Workflow: "empty", ID: "a b"}, flawless.Invalid, "space"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := e.Start(t.Context(), row.s)
			if !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.text) {
				t.Errorf("got %v, want %v with %q", err, row.code, row.text)
			}
		})
	}
}

func TestFailingRuns(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for _, row := range []struct{ workflow, in, kind, message, stack string }{
		{"fail", "no money", "error", "no money", ""},
		{"fail", "panic", "panic", "boom", "main.go"},
		{"stuck", "", "stuck", "waits for nothing", "main.stuck"},
	} {
		r := mustEnd(t, e, mustStart(t, e, row.workflow, row.in, "").ID)
		if r.Status != flawless.Failed || r.Failure == nil || r.Failure.Kind != row.kind ||
			!strings.Contains(r.Failure.Message, row.message) || !strings.Contains(r.Failure.Stack, row.stack) {
			t.Errorf("%s: %+v %+v", row.workflow, r, r.Failure)
		}
	}
}

func TestRunEndsWithCallsInFlight(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	gate := make(chan struct{})
	out.delay = func(string) { <-gate }
	e := open(t, mem.New(), Options{})
	r := mustEnd(t, e, mustStart(t, e, "leave", map[string]any{"url": out.URL}, "").ID)
	if r.Status != flawless.Completed || string(r.Output) != `"left"` {
		t.Fatalf("it is %+v", r)
	}
	close(gate)
	topic, done := e.hub.Follow(r.ID)
	defer done()
	for {
		changed := topic.Changed()
		log, err := e.Log(t.Context(), r.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		last := log[len(log)-1].Entries
		if a := last[len(last)-1].Arrival; a != nil && string(a.Body) == "did /once" {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err = e.await(ctx, r.ID, changed)
		cancel()
		if err != nil {
			t.Fatalf("the outcome is not in the log: %+v", last)
		}
	}
}

func TestCancelReachesTheCode(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	r := mustStart(t, e, "obey", nil, "")
	if _, err := e.Cancel(t.Context(), r.ID, flawless.Cancel{Who: "ann", Note: "too late"}); err != nil {
		t.Fatal(err)
	}
	r = mustEnd(t, e, r.ID)
	if r.Status != flawless.Cancelled || !strings.Contains(r.Failure.Message, "ann") {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
	if _, err := e.Cancel(t.Context(), r.ID, flawless.Cancel{}); !errors.Is(err, flawless.Conflict) {
		t.Errorf("cancelling it again: %v", err)
	}
}

func TestTerminateStopsALoop(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	r := mustStart(t, e, "spin", nil, "") // durable though its turn does not end
	until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Running })
	if _, err := e.Terminate(t.Context(), r.ID, flawless.Cancel{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	if r = mustEnd(t, e, r.ID); r.Status != flawless.Terminated {
		t.Errorf("it is %+v", r)
	}
	e.Kill()
	if r, err := open(t, kv, Options{}).Run(t.Context(), r.ID); err != nil || r.Status != flawless.Terminated {
		t.Errorf("after a restart it is %+v, %v", r, err)
	}
}

func TestResolutions(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		d      flawless.Decision
		status flawless.Status
		text   string // of output or failure
		posts  int
	}{
		{"retry", flawless.Decision{Resolution: flawless.Retry}, flawless.Completed, `did /`, 2},
		{"response", flawless.Decision{Resolution: flawless.Respond, Body: []byte("it was done")}, flawless.Completed, `it was done`, 1},
		{"error", flawless.Decision{Resolution: flawless.Tell, Text: "give up"}, flawless.Failed, "give up", 1},
		{"fail", flawless.Decision{Resolution: flawless.Fail, Note: "fraud"}, flawless.Failed, "fraud", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			out, kv := newOutside(t), mem.New()
			arrived, gate := make(chan struct{}, 2), make(chan struct{})
			out.delay = func(string) { arrived <- struct{}{}; <-gate }
			e := open(t, kv, Options{})
			id := mustStart(t, e, "once", map[string]any{"url": out.URL + "/"}, "").ID
			<-arrived
			e.Kill()
			close(gate)
			e = open(t, kv, Options{})
			r := until(t, e, id, unresolved)
			if len(r.Unresolved) != 1 || r.Unresolved[0].Call != 2 || r.Unresolved[0].Request == "" {
				t.Fatalf("in doubt: %+v", r.Unresolved)
			}
			row.d.Call, row.d.Who = 2, "ann"
			if _, err := e.Resolve(t.Context(), id, row.d); err != nil {
				t.Fatal(err)
			}
			r = mustEnd(t, e, id)
			text := string(r.Output)
			if r.Failure != nil {
				text = r.Failure.Message
			}
			if r.Status != row.status || !strings.Contains(text, row.text) || out.count("/") != row.posts {
				t.Errorf("it is %s: %s, %d posts", r.Status, text, out.count("/"))
			}
			if _, err := e.Resolve(t.Context(), id, row.d); !errors.Is(err, flawless.Conflict) {
				t.Errorf("resolving it again: %v", err)
			}
			log, _ := e.Log(t.Context(), id, 0, 0)
			if b := string(input(t, log)); !strings.Contains(b, `"who":"ann"`) {
				t.Errorf("the log does not say who decided: %s", b)
			}
		})
	}
}

func TestGuestGetsInterruptedError(t *testing.T) {
	t.Parallel()
	out, kv := newOutside(t), mem.New()
	arrived, gate := make(chan struct{}, 2), make(chan struct{})
	defer close(gate)
	out.delay = func(string) { arrived <- struct{}{}; <-gate }
	e := open(t, kv, Options{})
	id := mustStart(t, e, "once", map[string]any{"url": out.URL + "/", "tell": true}, "").ID
	<-arrived
	e.Kill()
	if r := mustEnd(t, open(t, kv, Options{}), id); string(r.Output) != `"interrupted"` {
		t.Errorf("it is %+v", r)
	}
}

func TestOrderlyStopLeavesNoUnknownOutcome(t *testing.T) {
	t.Parallel()
	out, kv := newOutside(t), mem.New()
	arrived, gate := make(chan struct{}, 2), make(chan struct{})
	out.delay = func(string) { arrived <- struct{}{}; <-gate }
	e := open(t, kv, Options{})
	id := mustStart(t, e, "once", map[string]any{"url": out.URL + "/"}, "").ID
	<-arrived
	closed := make(chan error)
	go func() { closed <- e.Close(context.Background()) }()
	<-e.life.Turns.Done() // guests stop when no new work is accepted
	if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty"}); !errors.Is(err, flawless.Stopping) {
		t.Errorf("a start while it stops: %v", err)
	}
	close(gate)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	r := mustEnd(t, open(t, kv, Options{}), id)
	if r.Status != flawless.Completed || out.count("/") != 1 {
		t.Errorf("it is %+v, the outside saw %d", r, out.count("/"))
	}
}

func TestFullDiskRefusesNewWork(t *testing.T) {
	t.Parallel()
	out, kv := newOutside(t), mem.New()
	arrived, gate := make(chan struct{}, 2), make(chan struct{})
	out.delay = func(string) { arrived <- struct{}{}; <-gate }
	e := open(t, kv, Options{})
	id := mustStart(t, e, "once", map[string]any{"url": out.URL + "/"}, "").ID
	<-arrived
	kv.SetFull(true)
	if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty"}); !errors.Is(err, flawless.Full) {
		t.Errorf("a start on a full disk: %v", err)
	}
	close(gate) // the answer arrives and cannot be written
	if _, err := e.Run(t.Context(), id); err != nil {
		t.Errorf("reading: %v", err)
	}
	if h := e.Health(); h.State != "full" || h.Message == "" {
		t.Errorf("health %+v", h)
	}
	kv.SetFull(false)
	if r := mustEnd(t, e, id); r.Status != flawless.Completed || out.count("/") != 1 {
		t.Errorf("it is %+v, the outside saw %d", r, out.count("/"))
	}
}

// TestOverdueRunContinuesWhenThereIsSpace: runs leave memory on it, whose timers are over or
// whose answers have come. Whether there is space again the engine notices by itself, or a start does.
func TestOverdueRunContinuesWhenThereIsSpace(t *testing.T) {
	for _, byStart := range []bool{false, true} {
		inVirtualTime(t, func(t *testing.T) {
			kv := mem.New()
			e := open(t, kv, Options{})
			defer e.Kill()
			mustStart(t, e, "sleep", 1, "asks")
			mustStart(t, e, "stubborn", nil, "sleeps")
			time.Sleep(time.Hour)
			kv.SetFull(true)
			time.Sleep(1000 * time.Hour)
			synctest.Wait()
			if h := e.Health(); h.State != "full" || h.Open > 0 {
				t.Fatalf("it is %+v: the test proves nothing", h)
			}
			kv.SetFull(false)
			if byStart {
				mustStart(t, e, "empty", 1, "")
			}
			for _, id := range []string{"asks", "sleeps"} {
				if r := mustEnd(t, e, id); r.Status != flawless.Completed {
					t.Errorf("it is %+v", r)
				}
			}
		})
	}
}

func TestDamagedLogQuarantinesRun(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	bad := mustStart(t, e, "obey", nil, "bad").ID
	good := mustStart(t, e, "obey", nil, "good").ID
	e.Kill()
	var key, value []byte
	for item, err := range kv.Scan(t.Context(), store.Range{From: rowOf('r', "bad")}) {
		if err != nil {
			t.Fatal(err)
		}
		key, value = append(key, item.Key...), append(value, item.Value...)
		break
	}
	value[len(value)/2] ^= 1
	if err := kv.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: key, Value: value}}}); err != nil {
		t.Fatal(err)
	}
	e = open(t, kv, Options{})
	if _, err := e.Cancel(t.Context(), bad, flawless.Cancel{}); !errors.Is(err, flawless.Damaged) {
		t.Errorf("cancelling the damaged run: %v", err)
	}
	r, err := e.Run(t.Context(), bad)
	if err != nil || r.Status != flawless.Unresolved || r.Problem == "" {
		t.Errorf("the damaged run: %+v, %v", r, err)
	}
	if _, err := e.Cancel(t.Context(), good, flawless.Cancel{}); err != nil {
		t.Errorf("the other run: %v", err)
	}
	mustEnd(t, e, good)
	if _, err := e.Terminate(t.Context(), bad, flawless.Cancel{}); err != nil {
		t.Errorf("terminating the damaged run: %v", err)
	}
}

// TestTerminatedQuarantinedRunHasEnded: its guest could not be made, or its log not be read, while
// it was terminated. Nothing that is found later makes it continue.
func TestTerminatedQuarantinedRunHasEnded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"its guest could not be made", "its log could not be read"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kv := mem.New()
			e := open(t, kv, Options{})
			mustStart(t, e, "mailbox", 1, "run")
			until(t, e, "run", func(r flawless.Run) bool { return r.Turns >= 2 })
			mend := func() {}
			if name == "its guest could not be made" {
				r, err := e.runs.Acquire(t.Context(), "run")
				if err != nil {
					t.Fatal(err)
				}
				r.Quarantine(errors.New("its module is gone"))
				r.Release()
			} else {
				e.Kill()
				first := append(rowOf('r', "run"), 0, 0, 0, 0, 0, 0, 0, 0)
				whole, err := kv.Get(t.Context(), first)
				if err != nil {
					t.Fatal(err)
				}
				put := func(value []byte) {
					if err := kv.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: first, Value: value}}}); err != nil {
						t.Fatal(err)
					}
				}
				whole = slices.Clone(whole)
				put([]byte("nonsense"))
				mend = func() { put(whole) }
				e = open(t, kv, Options{})
			}
			if r, err := e.Terminate(t.Context(), "run", flawless.Cancel{Who: "ann"}); err != nil || r.Status != flawless.Terminated {
				t.Fatalf("it is %+v, %v", r, err)
			}
			if _, err := e.Terminate(t.Context(), "run", flawless.Cancel{}); !errors.Is(err, flawless.Conflict) {
				t.Errorf("terminating it again: %v", err)
			}
			e.Kill()
			mend()
			e = open(t, kv, Options{})
			if _, err := e.Send(t.Context(), "run", flawless.Message{Type: "number", Body: []byte("7")}); err == nil {
				t.Error("it takes a message")
			}
			r, err := e.Run(t.Context(), "run")
			if err != nil || r.Status != flawless.Terminated || r.Failure == nil || r.Ended == nil || r.Turns > 2 {
				t.Errorf("it is %+v, %v", r, err)
			}
			for _, status := range flawless.Statuses {
				page, _, err := e.Runs(t.Context(), flawless.Filter{Status: []flawless.Status{status}})
				if err != nil || (len(page) == 1) != (status == flawless.Terminated) {
					t.Errorf("%d runs are listed as %s, %v", len(page), status, err)
				}
			}
		})
	}
}

// narrow is a database that refuses what is above the limits, of one run.
type narrow struct {
	store.KV
	id   string
	full atomic.Bool
}

func (n *narrow) Apply(ctx context.Context, b *store.Batch) error {
	record := func(i store.Item) bool { return bytes.HasPrefix(i.Key, rowOf('r', n.id)) }
	if n.full.Load() && slices.ContainsFunc(b.Set, record) {
		return flawless.TooLarge
	}
	return n.KV.Apply(ctx, b)
}

func TestOversizedRecordQuarantinesRun(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		kv := &narrow{KV: mem.New(), id: "bad"}
		e := open(t, kv, Options{})
		defer e.Kill()
		mustStart(t, e, "obey", nil, "bad")
		mustStart(t, e, "obey", nil, "good")
		kv.full.Store(true)
		if _, err := e.Cancel(t.Context(), "bad", flawless.Cancel{}); !errors.Is(err, flawless.TooLarge) {
			t.Errorf("cancelling the one: %v", err)
		}
		synctest.Wait()
		if r, err := e.Run(t.Context(), "bad"); err != nil || r.Status != flawless.Unresolved || r.Problem == "" || r.CancelRequested {
			t.Errorf("it is %+v, %v", r, err)
		}
		if _, err := e.Cancel(t.Context(), "good", flawless.Cancel{}); err != nil {
			t.Errorf("the other run: %v", err)
		}
		mustEnd(t, e, "good")
		if h := e.Health(); h.State != "ok" || h.Quarantined != 1 {
			t.Errorf("health %+v", h)
		}
		kv.full.Store(false)
		if r, err := e.Terminate(t.Context(), "bad", flawless.Cancel{}); err != nil || r.Status != flawless.Terminated {
			t.Errorf("terminating the one: %+v, %v", r, err)
		}
	})
}

func TestRunTimeNeverGoesBackwards(t *testing.T) {
	t.Parallel()
	var shift atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	out := newOutside(t)
	out.delay = func(string) { shift.Add(-int64(time.Hour)) }
	e := open(t, mem.New(), Options{Now: now})
	id := mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 5}, "").ID
	mustEnd(t, e, id)
	log, _ := e.Log(t.Context(), id, 0, 0)
	last := int64(0)
	for _, rec := range log {
		for _, entry := range rec.Entries {
			if entry.At < last || entry.Turn != nil && entry.Turn.Time < last {
				t.Fatalf("time went back in %+v", entry)
			}
			last = entry.At
			if entry.Turn != nil {
				last = entry.Turn.Time
			}
		}
	}
}

func TestTenThousandStartsAtOnce(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{Live: 50})
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			r, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty"})
			if err == nil {
				r, err = e.Wait(t.Context(), r.ID)
			}
			if err != nil || r.Status != flawless.Completed {
				t.Errorf("it is %+v, %v", r, err)
			}
		})
	}
	wg.Wait()
}

func TestReplayedRunContinues(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{Live: 1, Rest: time.Nanosecond}) // guests leave memory all the time
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			r := mustEnd(t, e, mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 20}, "").ID)
			if r.Status != flawless.Completed {
				t.Errorf("it is %+v %+v %s", r, r.Failure, r.Problem)
			}
		})
	}
	wg.Wait()
	if out.count("/once") != 100 {
		t.Errorf("the outside saw %d calls, want 100", out.count("/once"))
	}
}
