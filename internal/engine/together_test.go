package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// approver is an outside that settles the promises it is asked to, with whatever server there is.
type approver struct {
	*httptest.Server
	mu      sync.Mutex
	engine  *Engine
	changed chan struct{}
	seen    map[string]int
	tasks   sync.WaitGroup
}

func newApprover(t *testing.T) *approver {
	a := &approver{changed: make(chan struct{}), seen: map[string]int{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen[r.URL.Path]++
		if r.URL.Path == "/approve" {
			a.tasks.Go(func() { a.settle(t.Context(), string(body)) })
		}
	}))
	t.Cleanup(func() { a.Close(); a.use(nil); a.tasks.Wait() })
	return a
}

func (a *approver) use(e *Engine) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.engine = e
	close(a.changed)
	a.changed = make(chan struct{})
}

// settle tries until the promise is settled.
func (a *approver) settle(ctx context.Context, token string) {
	for {
		a.mu.Lock()
		e, changed := a.engine, a.changed
		a.mu.Unlock()
		if e != nil {
			_, err := e.Settle(ctx, token, Settlement{Value: json.RawMessage(`"yes"`)}, "the approver")
			if err == nil || errors.Is(err, flawless.Conflict) || errors.Is(err, flawless.NotFound) {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

const togetherOutput = `{"Done":42,"Count":2,"Approved":"yes","Helped":"helped with 21","ChildError":"error: no luck","SendError":"conflict","Expired":"expired"}`

// crashTogether lets a server die at one of its writes while runs are about each other, and checks
// that nothing was lost or doubled.
func crashTogether(t *testing.T, name string, d disk, left int, after bool, how Options) (died bool) {
	t.Helper()
	out := newApprover(t)
	begin := Start{Module: "guest", Workflow: "together", Input: input(t, map[string]any{"url": out.URL}), ID: "run"}
	died = runUntilDeath(t, name, d, newMortal(d.open(t), left, after), how, begin, out.use)
	e, r := settle(t, name, d.open(t), how, begin, func(doubt flawless.Doubt) (string, bool) {
		t.Fatalf("%s: a call is in doubt that should not be: %+v", name, doubt)
		return "", false
	}, out.use)
	defer d.crash()
	defer e.Kill()
	defer out.use(nil)
	if r.Status != flawless.Completed || string(r.Output) != togetherOutput {
		t.Errorf("%s: it is %+v %+v %s", name, r, r.Failure, r.Output)
	}
	for _, id := range []string{"run", "run.2", "run.3"} {
		mustEnd(t, e, id)
		if err := e.verify(t.Context(), id); err != nil {
			t.Errorf("%s: the replay of %s: %v", name, id, err)
		}
		if n := messages(t, e, id); n > 1 {
			t.Errorf("%s: run %s got %d messages", name, id, n)
		}
	}
	s, err := e.States().State(t.Context(), "count")
	if err != nil || string(s.Value) != "2" || s.Holder != nil || s.Queue != nil {
		t.Errorf("%s: the state is %+v, %v", name, s, err)
	}
	return died
}

// messages counts those that a run ever got.
func messages(t *testing.T, e *Engine, id string) (n int) {
	t.Helper()
	log, err := e.Log(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range log {
		for _, entry := range rec.Entries {
			if entry.Message != nil {
				n++
			}
		}
	}
	return n
}

// TestCrashEverywhereTogether is promise 3 for what runs do with each other: a server that dies before
// and after every durable write.
func TestCrashEverywhereTogether(t *testing.T) {
	t.Parallel()
	for _, row := range lots() {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, at every write, after it %v", row.name, after), func(t *testing.T) {
				t.Parallel()
				n, step := 1, 1
				if testing.Short() {
					step = 7
				}
				for crashTogether(t, fmt.Sprintf("write %d", n), row.disk(), n, after, row.how) {
					n += step
				}
				if n < 25 {
					t.Errorf("it died at %d writes only: the test proves nothing", n)
				}
			})
		}
	}
}

func mustSend(t *testing.T, e *Engine, id, kind, body string) {
	t.Helper()
	if _, err := e.Send(t.Context(), id, flawless.Message{Type: kind, Body: flawless.Bytes(body)}); err != nil {
		t.Fatal(err)
	}
}

func mustComplete(t *testing.T, e *Engine, id, output string) {
	t.Helper()
	if r := mustEnd(t, e, id); r.Status != flawless.Completed || string(r.Output) != output {
		t.Errorf("run %s is %s with %s, %+v; want %s", id, r.Status, r.Output, r.Failure, output)
	}
}

func TestThousandChildren(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "family", 1000, "f")
	mustComplete(t, e, "f", "499500")
	if r, err := e.Run(t.Context(), "f.501"); err != nil || r.Parent != "f" {
		t.Errorf("a child is %+v, %v", r, err)
	}
}

func TestCancellingAParentCancelsItsChildren(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		detached bool
		end      func(*Engine, context.Context, string, flawless.Cancel) (flawless.Run, error)
		parent   flawless.Status
		child    flawless.Status
	}{
		{"cancelled", false, (*Engine).Cancel, flawless.Cancelled, flawless.Cancelled},
		{"terminated", false, (*Engine).Terminate, flawless.Terminated, flawless.Cancelled},
		{"cancelled, detached", true, (*Engine).Cancel, flawless.Cancelled, flawless.Waiting},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			kv := mem.New()
			e := open(t, kv, Options{})
			mustStart(t, e, "parent", row.detached, "p")
			until(t, e, "p", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
			child := "p.2"
			untilThere(t, e, child)
			if _, err := row.end(e, t.Context(), "p", flawless.Cancel{}); err != nil {
				t.Fatal(err)
			}
			if r := mustEnd(t, e, "p"); r.Status != row.parent {
				t.Errorf("the parent is %s: %+v", r.Status, r.Failure)
			}
			until(t, e, child, func(r flawless.Run) bool { return r.Status == row.child })
		})
	}
}

// TestEndAnswersOwnCallOnly: a run awaits another with two calls. The end of that is durable
// and not told yet when the second call finds it.
func TestEndAnswersOwnCallOnly(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "obey", nil, "r")
	mustStart(t, e, "empty", 1, "x")
	mustEnd(t, e, "x")
	r, err := e.runs.Acquire(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	e.ends.Add("x", r, 1)
	if err := e.awaitEnd(r, &core.OpenCall{Call: flawless.Call{N: 2, Kind: effect.Await, Head: []byte(`{"run":"x"}`)}}); err != nil {
		t.Fatal(err)
	}
	left := e.ends.Take("x")
	for _, w := range left {
		w.Run.Release()
	}
	if len(left) != 1 || left[0].Call != 1 {
		t.Errorf("there wait %+v", left)
	}
}

// untilThere waits until a run is known.
func untilThere(t *testing.T, e *Engine, id string) {
	t.Helper()
	topic, done := e.hub.Follow(id)
	defer done()
	for {
		changed := topic.Changed()
		if _, err := e.Run(t.Context(), id); err == nil {
			return
		}
		if err := e.await(t.Context(), id, changed); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChildStartsAfterParentEnded(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "orphan", nil, "o")
	mustComplete(t, e, "o", `"o.2"`)
	untilThere(t, e, "o.2")
	mustComplete(t, e, "o.2", "7")
}

func TestMissingChildIsReported(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for _, row := range []struct{ name, workflow, kind string }{
		{"no such module", "nothing/at-all", "not_found"},
		{"no such workflow", "at-all", "not_found"},
		{"no name", "", "invalid"},
	} {
		r := mustStart(t, e, "spawn", row.workflow, "")
		if got := mustEnd(t, e, r.ID); string(got.Output) != `"`+row.kind+`"` {
			t.Errorf("%s: it returned %s, %+v", row.name, got.Output, got.Failure)
		}
	}
}

func TestMessagesAreReceivedInOrder(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "mailbox", 6, "m")
	for n := range 3 {
		mustSend(t, e, "m", "number", fmt.Sprint(n))
		mustSend(t, e, "m", "other", `"nobody wants it"`)
	}
	until(t, e, "m", func(r flawless.Run) bool { return r.Turns > 3 && r.Status == flawless.Waiting && r.Mail == 3 })
	for n := range 3 {
		mustSend(t, e, "m", "number", fmt.Sprint(n+3))
	}
	mustComplete(t, e, "m", "[0,1,2,3,4,5]")
}

func TestMessageKeyPreventsDuplicates(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "mailbox", 2, "m")
	first := flawless.Message{Type: "number", Body: flawless.Bytes("1"), Key: "one"}
	for range 3 {
		if id, err := e.Send(t.Context(), "m", first); err != nil || id != "one" {
			t.Errorf("sending it: %s, %v", id, err)
		}
	}
	e.Kill()
	e = open(t, kv, Options{})
	if _, err := e.Send(t.Context(), "m", first); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	other := first
	other.Body = flawless.Bytes("2")
	if _, err := e.Send(t.Context(), "m", other); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "use another key") {
		t.Errorf("another message with the key: %v", err)
	}
	mustSend(t, e, "m", "number", "5")
	mustComplete(t, e, "m", "[1,5]")
}

func TestInvalidMessagesAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "empty", 1, "over")
	mustEnd(t, e, "over")
	for _, row := range []struct {
		name, to string
		m        flawless.Message
		code     flawless.Code
		text     string
	}{
		{"no such run", "none", flawless.Message{Type: "a", Body: flawless.Bytes("1")}, flawless.NotFound, "none"},
		{"a run that has ended", "over", flawless.Message{Type: "a", Body: flawless.Bytes("1")}, flawless.Conflict, "the message was not stored"},
		{"not JSON", "over", flawless.Message{Type: "a", Body: flawless.Bytes("{")}, flawless.Invalid, "not JSON"},
		{"no type", "over", flawless.Message{Body: flawless.Bytes("1")}, flawless.Invalid, "type"},
		{"a long key", "over", flawless.Message{Type: "a", Body: flawless.Bytes("1"), Key: strings.Repeat("k", 999)}, flawless.Invalid, "999 bytes"},
	} {
		_, err := e.Send(t.Context(), row.to, row.m)
		if !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.text) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// TestRepeatedSendToEndedRunIsNotRefused: it was accepted before the end, and the client that repeats it has not
// heard of it.
func TestRepeatedSendToEndedRunIsNotRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	m := flawless.Message{Type: "number", Body: flawless.Bytes("1"), Key: "k"}
	mustStart(t, e, "mailbox", 1, "r")
	for _, again := range []bool{false, true} {
		if _, err := e.Send(t.Context(), "r", m); err != nil {
			t.Errorf("again %v: %v", again, err)
		}
		if r := mustEnd(t, e, "r"); r.Status != flawless.Completed {
			t.Fatalf("it is %+v", r)
		}
	}
	m.Body = flawless.Bytes("2")
	if _, err := e.Send(t.Context(), "r", m); !errors.Is(err, flawless.Conflict) {
		t.Errorf("with other content: %v", err)
	}
}

func TestMessageGoesToNextReceiver(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "heirs", nil, "r")
	until(t, e, "r", func(flawless.Run) bool {
		data, err := e.Data(t.Context(), "r")
		return err == nil && string(data) == `"gave up"`
	})
	mustSend(t, e, "r", "number", "7")
	mustSend(t, e, "r", "number", "8")
	mustComplete(t, e, "r", "[7,8]")
}

func TestReceiveBesideOthersMayTimeOut(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "impatient", nil, "r")
	mustComplete(t, e, "r", `"gave up"`)
}

// TestStateChangeOutlivesItsRun: the call that changes a state is made in the turn that ends the run.
// The server dies at every write, and once when the run has just ended; then another run wants the state.
func TestStateChangeOutlivesItsRun(t *testing.T) {
	t.Parallel()
	for died, n := true, 1; died || n < 20; n++ {
		name, d := fmt.Sprintf("write %d", n), &memory{mem.New()}
		begin := Start{Module: "guest", Workflow: "hasty", Input: input(t, "count"), ID: "first"}
		died = runUntilDeath(t, name, d, newMortal(d.open(t), n, n%2 == 0), Options{}, begin)
		e, r := settle(t, name, d.open(t), Options{}, begin, nil)
		mustStart(t, e, "hasty", "count", "second")
		if second := mustEnd(t, e, "second"); r.Status != flawless.Completed || second.Status != flawless.Completed {
			t.Errorf("%s: they are %+v and %+v", name, r, second)
		}
		for _, id := range []string{"first", "second"} {
			mustRest(t, e, id)
		}
		if s, err := e.States().State(t.Context(), "count"); err != nil || string(s.Value) != "2" || s.Holder != nil {
			t.Errorf("%s: the state is %s, %+v, %v", name, s.Value, s.Holder, err)
		}
		e.Kill()
	}
}

// mustRest waits until nothing is carried out any more for a run that has ended: it leaves memory then.
func mustRest(t *testing.T, e *Engine, id string) {
	t.Helper()
	e.runs.Wake(id)
	for inMemory := true; inMemory; inMemory, _ = e.runs.InMemory(id) {
		if t.Context().Err() != nil {
			t.Fatalf("the test is over, and something is still being carried out for run %s", id)
		}
		runtime.Gosched()
	}
	if err := e.peek(t.Context(), id, func(s *core.State) {
		if n := len(s.OpenCalls()); n > 0 {
			t.Errorf("run %s has left memory with %d open calls", id, n)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

func TestReplies(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "counter", nil, "c")
	for n := range 3 {
		m := flawless.Message{Type: "add", Body: flawless.Bytes("2"), Key: fmt.Sprint("add", n)}
		for range 2 { // who asks again gets the same reply
			if _, got, err := e.Ask(t.Context(), "c", m); err != nil || string(got) != fmt.Sprint(2*n+2) {
				t.Errorf("reply %d: %s, %v", n, got, err)
			}
		}
	}
	none := make(chan error)
	go func() {
		_, _, err := e.Ask(t.Context(), "c", flawless.Message{Type: "unknown", Body: flawless.Bytes("1")})
		none <- err
	}()
	until(t, e, "c", func(r flawless.Run) bool { return r.Mail == 1 })
	mustSend(t, e, "c", "stop", "null")
	if err := <-none; !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "without a reply") {
		t.Errorf("a sender without a reply gets %v", err)
	}
	mustComplete(t, e, "c", "6")
}

func TestRunWaitingForNothingAfterReplyIsStuck(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "lastword", nil, "r")
	if _, got, err := e.Ask(t.Context(), "r", flawless.Message{Type: "add", Body: flawless.Bytes("2")}); err != nil || string(got) != "2" {
		t.Errorf("the reply is %s, %v", got, err)
	}
	if r := mustEnd(t, e, "r"); r.Status != flawless.Failed || r.Failure.Kind != "stuck" {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
}

func TestPromisesAreSettledOnce(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{URL: "http://engine.example/"})
	mustStart(t, e, "promise", nil, "p")
	until(t, e, "p", func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	var data struct{ Token, URL string }
	d, err := e.Data(t.Context(), "p")
	if err != nil || json.Unmarshal(d, &data) != nil {
		t.Fatal(string(d), err)
	}
	if data.URL != "http://engine.example/api/v1/promises/"+data.Token {
		t.Errorf("the URL is %s", data.URL)
	}
	open, err := e.Promises(t.Context(), "p")
	if err != nil || len(open) != 1 || open[0].Token != data.Token || open[0].Name != "answer" {
		t.Errorf("open promises are %+v, %v", open, err)
	}
	for _, wrong := range []string{"", "nonsense", "0123456789012345678901234.2.p", data.Token + "x", "a" + data.Token} {
		if _, err := e.Settle(t.Context(), wrong, Settlement{}, ""); !errors.Is(err, flawless.NotFound) {
			t.Errorf("the token %q: %v", wrong, err)
		}
	}
	if _, err := e.Settle(t.Context(), data.Token, Settlement{Value: json.RawMessage("{")}, ""); !errors.Is(err, flawless.Invalid) {
		t.Errorf("no JSON: %v", err)
	}
	if _, err := e.Settle(t.Context(), data.Token, Settlement{Value: json.RawMessage(`{"a":1}`)}, "bob"); err != nil {
		t.Error(err)
	}
	mustComplete(t, e, "p", `{"a":1}`)
	_, err = e.Settle(t.Context(), data.Token, Settlement{Error: "no"}, "")
	var settled *Settled
	if !errors.As(err, &settled) || string(settled.With.Value) != `{"a":1}` || !errors.Is(err, flawless.Conflict) {
		t.Errorf("settling it again: %v", err)
	}
	e.Kill()
}

func TestPromiseIsRejectedOrOutlivedByItsRun(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	token := func(id string) string {
		mustStart(t, e, "promise", nil, id)
		until(t, e, id, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
		open, err := e.Promises(t.Context(), id)
		if err != nil || len(open) != 1 {
			t.Fatal(open, err)
		}
		return open[0].Token
	}
	a := token("a")
	if _, err := e.Settle(t.Context(), a, Settlement{Error: "not today"}, ""); err != nil {
		t.Fatal(err)
	}
	if r := mustEnd(t, e, "a"); r.Failure == nil || !strings.Contains(r.Failure.Message, "not today") {
		t.Errorf("the run is %+v", r)
	}
	b := token("b")
	if _, err := e.Terminate(t.Context(), "b", flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Settle(t.Context(), b, Settlement{}, ""); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("a promise of a run that has ended: %v", err)
	}
}

func TestStateHasOneHolder(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	const runs = 100
	for n := range runs {
		mustStart(t, e, "add", 1, fmt.Sprintf("a%d", n))
	}
	seen := map[string]bool{}
	for n := range runs {
		r := mustEnd(t, e, fmt.Sprintf("a%d", n))
		if seen[string(r.Output)] || r.Status != flawless.Completed {
			t.Errorf("%s was returned twice, or not: %+v", r.Output, r.Failure)
		}
		seen[string(r.Output)] = true
	}
	if s, err := e.States().State(t.Context(), "sum"); err != nil || string(s.Value) != fmt.Sprint(runs) || s.Holder != nil {
		t.Errorf("the state is %+v, %v", s, err)
	}
	if n := e.locks.Count(); n != 0 || e.graph.Size() != 0 {
		t.Errorf("%d states are still in memory", n)
	}
}

func holder(e *Engine, t *testing.T, name string) string {
	s, err := e.States().State(t.Context(), name)
	if err != nil || s.Holder == nil {
		return ""
	}
	return s.Holder.Run
}

func holds(t *testing.T, e *Engine, id string) {
	t.Helper()
	until(t, e, id, func(r flawless.Run) bool { return r.Status == flawless.Waiting && holder(e, t, "kept") == id })
}

func TestStateIsReleasedHoweverHolderEnds(t *testing.T) {
	t.Parallel()
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	for _, row := range []struct {
		name, how string
		end       func(ctx context.Context, e *Engine, id string) error
		value     string
	}{
		{"it returns", "", func(ctx context.Context, e *Engine, id string) error {
			_, err := e.Send(ctx, id, flawless.Message{Type: "go", Body: flawless.Bytes(`"a"`)})
			return err
		}, `"ab"`},
		{"it returns an error", "fail", func(ctx context.Context, e *Engine, id string) error {
			_, err := e.Send(ctx, id, flawless.Message{Type: "go", Body: flawless.Bytes(`"a"`)})
			return err
		}, `"b"`},
		{"it is terminated", "", func(ctx context.Context, e *Engine, id string) error {
			_, err := e.Terminate(ctx, id, flawless.Cancel{})
			return err
		}, `"b"`},
		{"it is cancelled", "", func(ctx context.Context, e *Engine, id string) error {
			_, err := e.Cancel(ctx, id, flawless.Cancel{})
			return err
		}, `"b"`},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, the server restarted %v", row.name, restarted), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					kv := mem.New()
					e := open(t, kv, Options{})
					mustStart(t, e, "keep", row.how, "first")
					holds(t, e, "first")
					mustStart(t, e, "keep", "", "second")
					mustSend(t, e, "second", "go", `"b"`)
					queued(t, e, "second")
					if restarted {
						e.Kill()
						e = open(t, kv, Options{})
						queued(t, e, "second")
					}
					if err := row.end(t.Context(), e, "first"); err != nil {
						t.Fatal(err)
					}
					mustEnd(t, e, "first")
					if r := mustEnd(t, e, "second"); r.Status != flawless.Completed {
						t.Errorf("the second is %+v", r.Failure)
					}
					if s, err := e.States().State(t.Context(), "kept"); err != nil || string(s.Value) != row.value || s.Holder != nil {
						t.Errorf("the state is %+v, %v", s, err)
					}
				})
			})
		}
	}
}

// queued looks, in virtual time, whether a run waits for the state that is kept.
func queued(t *testing.T, e *Engine, id string) {
	t.Helper()
	synctest.Wait()
	if s, err := e.States().State(t.Context(), "kept"); err != nil || len(s.Queue) != 1 || s.Queue[0].Run != id {
		t.Fatalf("run %s does not wait for the state: it is %+v, %v", id, s, err)
	}
}

func TestDeadlockIsReportedToOneRun(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "take", map[string]string{"First": "x", "Second": "y"}, "a")
	until(t, e, "a", func(r flawless.Run) bool { return r.Turns > 1 && holder(e, t, "x") == "a" })
	mustStart(t, e, "take", map[string]string{"First": "y", "Second": "x", "Meet": "a"}, "b")
	until(t, e, "b", func(r flawless.Run) bool { return r.Turns > 1 && holder(e, t, "y") == "b" })
	mustSend(t, e, "b", "there", "null")
	a, b := mustEnd(t, e, "a"), mustEnd(t, e, "b")
	got := []string{string(a.Output), string(b.Output)}
	if !cmp.Equal(got, []string{`"deadlock"`, `"took both"`}) && !cmp.Equal(got, []string{`"took both"`, `"deadlock"`}) {
		t.Errorf("they returned %s, %+v %+v", got, a.Failure, b.Failure)
	}
}

func TestPingPong(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "pingpong", map[string]any{"N": 20}, "pong")
	mustStart(t, e, "pingpong", map[string]any{"N": 20, "Other": "pong"}, "ping")
	mustComplete(t, e, "ping", "20")
	mustComplete(t, e, "pong", "20")
}

// asked is an outside that does not answer a charge, and may be asked whether there was one.
func asked(t *testing.T, found int) (*httptest.Server, *atomic.Int64) {
	var charges atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/once":
			if charges.Add(1) == 1 {
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, "charged "+r.Header.Get("Idempotency-Key"))
		default:
			w.WriteHeader(found)
			fmt.Fprint(w, "found "+strings.TrimPrefix(r.URL.Path, "/find/"))
		}
	}))
	t.Cleanup(s.Close)
	return s, &charges
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		status  int
		decide  flawless.Decision
		output  string
		charges int64
	}{
		{"it happened", 200, flawless.Decision{}, `"found r-2"`, 1},
		{"it did not happen", 404, flawless.Decision{}, `"charged r-2"`, 2},
		{"nobody can tell, a person says it happened", 503, flawless.Decision{Resolution: flawless.Respond, Body: []byte("by hand")}, `"by hand"`, 1},
		{"nobody can tell, a person says it did not", 503, flawless.Decision{Resolution: flawless.Retry}, `"charged r-2"`, 2},
		{"nobody can tell, a person gives up", 503, flawless.Decision{Resolution: flawless.Tell, Text: "leave it"}, ``, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			out, charges := asked(t, row.status)
			kv := mem.New()
			e := open(t, kv, Options{})
			mustStart(t, e, "find", map[string]any{"url": out.URL}, "r")
			if row.decide.Resolution != "" {
				r := until(t, e, "r", unresolved)
				d := r.Unresolved[0]
				if d.Request != "POST "+out.URL+"/once" || !strings.Contains(d.Reason, "nobody could find out") {
					t.Errorf("the doubt is %+v", d)
				}
				e.Kill()
				e = open(t, kv, Options{})
				row.decide.Call = d.Call
				if _, err := e.Resolve(t.Context(), "r", row.decide); err != nil {
					t.Fatal(err)
				}
			}
			r := mustEnd(t, e, "r")
			if string(r.Output) != row.output || row.output == "" && !strings.Contains(r.Failure.Message, "leave it") {
				t.Errorf("it is %s with %s, %+v", r.Status, r.Output, r.Failure)
			}
			if n := charges.Load(); n != row.charges {
				t.Errorf("it was charged %d times", n)
			}
		})
	}
}

func TestSagaUndoesCompletedSteps(t *testing.T) {
	t.Parallel()
	steps := []string{"flight", "hotel", "car"}
	for i, fail := range append(steps, "") {
		t.Run("fails at "+fail, func(t *testing.T) {
			t.Parallel()
			out := newOutside(t)
			e := open(t, mem.New(), Options{})
			mustStart(t, e, "trip", map[string]string{"URL": out.URL, "Fail": fail}, "t")
			r := mustEnd(t, e, "t")
			if (r.Status == flawless.Completed) != (fail == "") {
				t.Errorf("it is %s: %+v", r.Status, r.Failure)
			}
			for j, step := range steps {
				booked, cancelled := out.count("/book/"+step), out.count("/cancel/"+step)
				wantBooked, wantCancelled := 0, 0
				if j < i {
					wantBooked = 1
				}
				if fail != "" && j <= i {
					wantCancelled = 1
				}
				if booked != wantBooked || cancelled != wantCancelled {
					t.Errorf("%s was booked %d times and cancelled %d times", step, booked, cancelled)
				}
			}
		})
	}
}

func TestSagaThatCannotBeUndoneIsUnresolved(t *testing.T) {
	t.Parallel()
	for how, why := range map[string]string{"Stay": "no refund", "Fall": "it panicked: no receipt"} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			out := newOutside(t)
			e := open(t, mem.New(), Options{})
			mustStart(t, e, "trip", map[string]string{"URL": out.URL, "Fail": "car", how: "hotel"}, "t")
			r := until(t, e, "t", unresolved)
			d := r.Unresolved[0]
			if d.Request != "undo hotel" || !strings.Contains(d.Reason, why) || !strings.Contains(d.Reason, "undone: car;") || !strings.Contains(d.Reason, "after this: flight") {
				t.Errorf("the doubt is %+v", d)
			}
			if _, err := e.Resolve(t.Context(), "t", flawless.Decision{Call: d.Call, Resolution: flawless.Tell, Text: "the hotel is paid"}); err != nil {
				t.Fatal(err)
			}
			if r := mustEnd(t, e, "t"); r.Failure == nil || !strings.Contains(r.Failure.Message, "not undone: hotel") {
				t.Errorf("it is %+v", r)
			}
			if out.count("/cancel/flight") != 1 {
				t.Error("the flight was not cancelled")
			}
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "mailbox", 2, "m")
	if r, err := e.Pause(t.Context(), "m", flawless.Pause{Note: "wait"}); err != nil || r.Status != flawless.Paused {
		t.Fatal(r, err)
	}
	mustSend(t, e, "m", "number", "1")
	e.Kill()
	e = open(t, kv, Options{})
	mustSend(t, e, "m", "number", "2")
	if r, err := e.Run(t.Context(), "m"); err != nil || r.Status != flawless.Paused || r.Wake != nil {
		t.Errorf("it is %+v, %v", r, err)
	}
	if _, err := e.Pause(t.Context(), "m", flawless.Pause{}); err != nil {
		t.Errorf("pausing twice: %v", err)
	}
	if r, err := e.Pause(t.Context(), "m", flawless.Pause{Resume: true}); err != nil || r.Status == flawless.Paused {
		t.Fatal(r, err)
	}
	mustComplete(t, e, "m", "[1,2]")
	if _, err := e.Pause(t.Context(), "m", flawless.Pause{}); !errors.Is(err, flawless.Conflict) {
		t.Errorf("pausing a run that has ended: %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	for _, row := range []struct {
		name, workflow string
		status         flawless.Status
		text           string
		after          time.Duration
	}{
		{"a run that gives up when asked", "obey", flawless.Cancelled, "its deadline", time.Hour},
		{"a run that waits for something else", "stubborn", flawless.Terminated, "had not ended", time.Hour + time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := open(t, mem.New(), Options{})
				began := time.Now()
				_, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: row.workflow, ID: "r", Deadline: began.Add(time.Hour), Grace: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				r, err := e.Wait(t.Context(), "r")
				if err != nil || r.Status != row.status || !strings.Contains(r.Failure.Message, row.text) {
					t.Errorf("it is %s: %+v, %v", r.Status, r.Failure, err)
				}
				if d := time.Since(began); d != row.after {
					t.Errorf("it ended after %v", d)
				}
				e.Kill()
			})
		})
	}
}

func TestDeadlineStopsComputingRun(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	ctx := t.Context()
	_, _, err := e.Start(ctx, Start{Module: "guest", Workflow: "spin", ID: "r", Deadline: time.Now().Add(20 * time.Millisecond), Grace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r := mustEnd(t, e, "r"); r.Status != flawless.Terminated || r.Failure.Kind != "deadline" {
		t.Errorf("it is %s: %+v", r.Status, r.Failure)
	}
}

func TestCancelDeadlineTerminatesRun(t *testing.T) {
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	synctest.Test(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{})
		mustStart(t, e, "stubborn", nil, "r")
		if _, err := e.Cancel(t.Context(), "r", flawless.Cancel{Who: "ann", Deadline: time.Now().Add(time.Minute).UnixNano()}); err != nil {
			t.Fatal(err)
		}
		if r, err := e.Wait(t.Context(), "r"); err != nil || r.Status != flawless.Terminated || !strings.Contains(r.Failure.Message, "ann") {
			t.Errorf("it is %s: %+v, %v", r.Status, r.Failure, err)
		}
		e.Kill()
	})
}

func TestRestart(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "fail", "first", "r")
	mustEnd(t, e, "r")
	again, err := e.Restart(t.Context(), "r", "", "")
	if err != nil || again.Of != "r" {
		t.Fatal(again, err)
	}
	if r := mustEnd(t, e, again.ID); r.Failure == nil || r.Failure.Message != "first" {
		t.Errorf("it is %+v", r)
	}
	mustStart(t, e, "obey", nil, "open")
	if _, err := e.Restart(t.Context(), "open", "", ""); !errors.Is(err, flawless.Conflict) {
		t.Errorf("restarting a run that is open: %v", err)
	}
}

// TestForkReachesItsOwnChildren: its guest was told the id of the run whose past it has.
func TestForkReachesItsOwnChildren(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "tell", 5, "t")
	mustComplete(t, e, "t", "[5]")
	f, err := e.Fork(t.Context(), "t", Fork{Turn: 0})
	if err != nil {
		t.Fatal(err)
	}
	mustComplete(t, e, f.ID, "[5]")
	for _, child := range []string{"t.2", f.ID + ".2"} {
		if n := messages(t, e, child); n != 1 {
			t.Errorf("run %s got %d messages", child, n)
		}
	}
}

func TestWaitUnderEndedContextReturnsAtOnce(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "late", nil, "l")
	if _, err := e.Cancel(t.Context(), "l", flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if r := mustEnd(t, e, "l"); r.Status != flawless.Cancelled {
		t.Errorf("it is %s: %+v", r.Status, r.Failure)
	}
}
