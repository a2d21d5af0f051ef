package live

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/admit"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/hub"
	"github.com/flawless-engine/flawless/internal/library"
	"github.com/flawless-engine/flawless/internal/lifecycle"
	"github.com/flawless-engine/flawless/internal/policy"
	"github.com/flawless-engine/flawless/internal/ratelimit"
	"github.com/flawless-engine/flawless/internal/residency"
	"github.com/flawless-engine/flawless/internal/statelock"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
	"github.com/flawless-engine/flawless/internal/task"
)

// call is a call that a guest of these tests makes.
type call struct{ kind, head string }

var (
	put    = call{effect.HTTP, `{"method":"PUT","url":"http://a.example/put"}`}
	post   = call{effect.HTTP, `{"method":"POST","url":"http://a.example/post"}`}
	number = call{effect.Receive, `{"type":"number"}`}
)

// module returns a module of one workflow that makes calls one after another and ends with null.
func module(calls ...call) []byte {
	integer := func(v int) []byte { // signed LEB128
		out := []byte{}
		for {
			b := byte(v & 0x7f)
			if v >>= 7; v == 0 && b&0x40 == 0 {
				return append(out, b)
			}
			out = append(out, b|0x80)
		}
	}
	length := func(n int) []byte { return []byte{byte(n&0x7f) | 0x80, byte(n >> 7)} }
	sized := func(b ...[]byte) []byte { all := slices.Concat(b...); return append(length(len(all)), all...) }
	section := func(id byte, b ...[]byte) []byte { return append([]byte{id}, sized(b...)...) }
	name := func(s string) []byte { return sized([]byte(s)) }
	var data []byte
	text := func(s string) []byte { // the code of its address and length
		at := len(data)
		data = append(data, s...)
		return slices.Concat([]byte{0x41}, integer(at), []byte{0x41}, integer(len(s)))
	}
	describe := slices.Concat([]byte{0}, text(`{"sdk":"test","workflows":[{"name":"w"}]}`), []byte{0x10, 0, 0x0b})
	step := []byte{0} // global 0 counts its turns
	inTurn := func(n int, code ...[]byte) {
		step = slices.Concat(step, []byte{0x23, 0, 0x41}, integer(n), []byte{0x46, 0x04, 0x40}, slices.Concat(code...), []byte{0x0b})
	}
	for n, c := range calls {
		inTurn(n, text(c.kind), text(c.head), text(""), []byte{0x10, 1, 0x1a})
	}
	inTurn(len(calls), []byte{0x41, 1}, text("null"), []byte{0x10, 2})
	step = append(step, 0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x0b)
	exports := func(n string, kind, index byte) []byte { return append(name(n), kind, index) }
	imports := func(n string, index byte) []byte { return append(slices.Concat(name("flawless"), name(n)), 0, index) }
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{4}, []byte{0x60, 2, 0x7f, 0x7f, 0}, []byte{0x60, 6, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f}, []byte{0x60, 3, 0x7f, 0x7f, 0x7f, 0}, []byte{0x60, 0, 0}),
		section(2, []byte{3}, imports("describe", 0), imports("call", 1), imports("finish", 2)),
		section(3, []byte{2, 3, 3}),
		section(5, []byte{1, 0, 1}),
		section(6, []byte{1, 0x7f, 1, 0x41, 0, 0x0b}),
		section(7, []byte{4}, exports("flawless_describe", 0, 3), exports("flawless_start", 0, 4), exports("flawless_resume", 0, 4), exports("memory", 2, 0)),
		section(10, []byte{2}, sized(describe), sized(step)),
		section(11, []byte{1, 0, 0x41, 0, 0x0b}, sized(data)))
}

var runtime = sync.OnceValues(func() (*guest.Runtime, error) { return guest.NewRuntime(context.Background(), guest.Options{}) })

// house is a Registry with all that it works with, and nothing above it.
type house struct {
	*Registry
	t      *testing.T
	life   *lifecycle.Lifecycle
	tasks  task.Tasks
	digest string
	hold   func(ctx context.Context) // called in each call to the outside; nil does nothing

	mu       sync.Mutex
	requests map[string]int // by path
}

func (h *house) Errand(*Run, *core.OpenCall) {}
func (h *house) Left(*Run, []string)         {}
func (h *house) Ended(flawless.Run)          {}
func (h *house) Rests(string)                {}

// open returns a house whose runs make these calls. Guests stay in memory for that long while they are idle; 0 is an hour.
func open(t *testing.T, idle time.Duration, calls ...call) *house {
	t.Helper()
	h := &house{t: t, requests: map[string]int{}, life: lifecycle.New(nil, slog.New(slog.DiscardHandler))}
	st, err := store.Open(t.Context(), storetest.Lent(mem.New()))
	if err != nil {
		t.Fatal(err)
	}
	lease, err := st.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]*effect.Kind{}
	for _, k := range effect.Kinds(effect.Options{}) {
		if k.Name == effect.HTTP {
			k.Perform = h.perform
		}
		kinds[k.Name] = &k
	}
	log := slog.New(slog.DiscardHandler)
	now := func() int64 { return time.Now().UnixNano() }
	o := Options{Handler: h, Store: st, Lease: lease, Kinds: kinds, Lifecycle: h.life, Tasks: &h.tasks, Now: now, Log: log, Hub: hub.New(), Graph: &statelock.Graph{},
		Patience: 2 * time.Millisecond, LongTurn: 5 * time.Second}
	o.Library = library.New(library.Options{Store: st, Lease: lease, Guest: rt, Context: h.life.Turns, Now: time.Now, Go: h.tasks.Go})
	o.Residency = residency.New(residency.Options{Memory: -1, Idle: cmp.Or(idle, time.Hour), Now: now, Stopped: h.life.Over, Trim: o.Library.Trim})
	o.Clock = clock.New(clock.Options{Timers: func(ctx context.Context, from, until int64) iter.Seq2[store.Timer, error] {
		return st.Timers(ctx, from, until, lease.Owned())
	}, Context: h.life.Turns, Now: time.Now, Wake: func(run string) { h.Wake(run) }, Go: h.tasks.Go, Log: log})
	if o.Policy, err = policy.New(t.Context(), policy.Options{Store: st, RetryFor: time.Hour, DeclaredKeys: o.Library.Keys}); err != nil {
		t.Fatal(err)
	}
	o.Limits = ratelimit.New(ratelimit.Options{Now: now, Go: h.tasks.Go, Log: log})
	o.Admission = admit.New(admit.Options{Store: st, Modules: o.Policy.Capped, Cap: func(string) int { return 0 }, Wake: func(run string) { h.tasks.Go(func() { h.Wake(run) }) }})
	o.Locks = statelock.New(statelock.Options{Graph: o.Graph, State: st.State, Log: log, Context: func() context.Context { return h.life.Calls }})
	h.Registry = New(o)
	h.Own(lease.Owned()...)
	m, _, _, err := o.Library.Add(t.Context(), "m", module(calls...), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.digest = m.Digest
	t.Cleanup(func() {
		h.life.Kill()
		o.Residency.Close()
		h.tasks.Wait()
		o.Hub.Stop()
		h.Close()
		o.Library.Close()
	})
	return h
}

// perform answers every request with 200 and counts it.
func (h *house) perform(ctx context.Context, t effect.Attempt) effect.Result {
	h.mu.Lock()
	for _, path := range []string{"/put", "/post"} {
		if bytes.Contains(t.Call.Head, []byte(path)) {
			h.requests[path]++
		}
	}
	h.mu.Unlock()
	if h.hold != nil {
		h.hold(ctx)
	}
	a, _ := effect.ResponseAnswer(t.Call.N, 200, []byte("done"))
	return effect.Result{Outcome: effect.Answered, Answer: a}
}

// create starts a run, which stays acquired.
func (h *house) create(id string) *Run {
	h.t.Helper()
	r, err := h.Create(id, nil, core.StartEntries(flawless.Start{Module: "m", Digest: h.digest, Workflow: "w", Input: []byte("1"), Seed: make([]byte, 32), Time: h.o.Now()}, nil))
	if r == nil || err != nil {
		h.t.Fatalf("there is a run %s, %v", id, err)
	}
	return r
}

// until waits until a run is as wanted.
func (h *house) until(id string, wanted func(r flawless.Run) bool) flawless.Run {
	h.t.Helper()
	topic, done := h.o.Hub.Follow(id)
	defer done()
	for {
		changed := topic.Changed()
		r, err := h.Summary(h.t.Context(), id)
		if err != nil {
			h.t.Fatal(err)
		}
		if wanted(r) {
			return r
		}
		select {
		case <-changed:
		case <-h.t.Context().Done():
			h.t.Fatalf("run %s is %+v", id, r)
		}
	}
}

// untilIdle waits until nobody drives a run.
func untilIdle(r *Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.driving {
		r.idle.Wait()
	}
}

func hasEnded(r flawless.Run) bool  { return r.Status.Ended() }
func isWaiting(r flawless.Run) bool { return r.Status == flawless.Waiting }

// createBlocked creates the run "r", and returns when its first write is done and published to all but the followers of
// the run. When proceed is called, they learn of it, and the driver goes on.
func createBlocked(t *testing.T, h *house) (r *Run, proceed func()) {
	t.Helper()
	topic, done := h.o.Hub.Follow("r")
	t.Cleanup(done)
	w, leave := h.o.Hub.Watch()
	proceed = topic.Block()
	r = h.create("r")
	<-w.More()
	leave()
	return r, proceed
}

// TestRunStaysWhileAttemptIsLeft releases a run, whose guest has left memory, between the end of its driving and the
// attempt that the driver has left. The run must stay: a second one made from the log would find the attempt lost, and
// repeat it, or report its outcome as unknown, beside the first.
func TestRunStaysWhileAttemptIsLeft(t *testing.T) {
	t.Parallel()
	h := open(t, 0, put, post)
	r, proceed := createBlocked(t, h)
	h.Registry.mu.Lock() // the driver has written and published, and gets no further than to the end of its driving
	proceed()
	r.mu.Lock()
	for r.driving {
		r.idle.Wait()
	}
	release := r.evictGuest()
	r.refs.Add(-1) // the one of createBlocked
	r.mu.Unlock()
	r.evictIdle()
	stays := h.runs["r"] == r
	h.Registry.mu.Unlock()
	release()
	if !stays {
		t.Error("the run has left memory before the attempt that was left was carried out")
	}
	if r := h.until("r", hasEnded); r.Status != flawless.Completed || h.requests["/put"] != 1 || h.requests["/post"] != 1 {
		t.Errorf("it is %+v, after requests %v", r, h.requests)
	}
}

// TestWriteWaitsForWhatFollowsFromTheLast checks that nothing more of a run is written while its last write is still
// being published.
func TestWriteWaitsForWhatFollowsFromTheLast(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r, proceed := createBlocked(t, h)
	r.mu.Lock()
	if r.written == 0 || !r.writing {
		t.Errorf("%d writes are durable, and the next may be written already: %v", r.written, !r.writing)
	}
	r.mu.Unlock()
	proceed()
	if _, err := r.Change(t.Context(), func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Accept(flawless.Message{ID: "1", Type: "number", Body: []byte("1")}, now)
	}); err != nil {
		t.Fatal(err)
	}
	r.Release()
	if r := h.until("r", hasEnded); r.Status != flawless.Completed {
		t.Errorf("it is %+v", r)
	}
}

// TestEndedRunIsNotFrozen ends a run while its guest is about to leave memory.
func TestEndedRunIsNotFrozen(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r := h.create("r")
	h.until("r", isWaiting)
	if _, err := r.Change(t.Context(), func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Terminate(flawless.Cancel{}, now)
	}); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.leaving = true
	r.wakeLocked()
	for r.driving {
		r.idle.Wait()
	}
	r.mu.Unlock()
	r.Release()
	if n := h.Counts().Frozen; n != 0 {
		t.Errorf("%d images were made", n)
	}
}

// TestEndedSendersAreForgotten: a run that lives for years would otherwise remember every run that ever sent to it. A sender
// that has not ended may repeat its last message after a crash, and is remembered.
func TestEndedSendersAreForgotten(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r := h.create("r")
	defer r.Release()
	h.create("open").Release()
	ended := h.create("ended")
	if _, err := ended.Change(t.Context(), func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Terminate(flawless.Cancel{}, now)
	}); err != nil {
		t.Fatal(err)
	}
	ended.Release()
	h.until("open", isWaiting)
	h.until("r", isWaiting)
	came := 0
	hear := func(from string) {
		came++
		r.s.Step(flawless.Entry{Message: &flawless.Message{N: came, Type: "a", Body: flawless.Bytes("1"), From: from, Call: 7}})
	}
	remembers := func(want string) {
		t.Helper()
		r.View(func(s *core.State) {
			var got []string
			for id, call := range s.Senders() {
				got = append(got, fmt.Sprint(id, " ", call))
			}
			if slices.Sort(got); strings.Join(got, ", ") != want {
				t.Errorf("it remembers %d senders, want %s", len(got), want)
			}
		})
	}
	r.mu.Lock()
	hear("open")
	hear("ended")
	r.mu.Unlock()
	r.forgetSenders()
	remembers("ended 7, open 7") // they are few
	r.mu.Lock()
	for n := range core.MaxSenders {
		hear(fmt.Sprint("removed-", n))
	}
	r.mu.Unlock()
	r.forgetSenders()
	remembers("open 7")
	r.mu.Lock()
	entries, err := r.s.Accept(flawless.Message{Type: "a", Body: flawless.Bytes("1"), From: "open", Call: 7}, h.o.Now())
	r.mu.Unlock()
	if entries != nil || err != nil {
		t.Errorf("a repeated message is accepted again: %v, %v", entries, err)
	}
}

// TestRetainTakesNoLock: a run is retained while its lock, or that of a component, is held. The lock of the Registry comes
// before these.
func TestRetainTakesNoLock(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r := h.create("r")
	h.until("r", isWaiting)
	retained := make(chan struct{})
	h.Registry.mu.Lock()
	r.mu.Lock()
	go func() {
		r.Retain()
		close(retained)
	}()
	select {
	case <-retained:
	case <-time.After(10 * time.Second):
		t.Error("it waits for a lock")
	}
	r.mu.Unlock()
	h.Registry.mu.Unlock()
	r.Release()
	if inMemory, _ := h.InMemory("r"); !inMemory {
		t.Error("the run has left memory, although it was retained")
	}
	r.Release()
}

// TestRunLeavesMemoryWhenReleased checks when a run is in memory: while it is acquired, and while its guest is.
func TestRunLeavesMemoryWhenReleased(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r := h.create("r")
	h.until("r", isWaiting)
	untilIdle(r)
	in := func() string { return fmt.Sprint(h.InMemory("r")) }
	if got := in(); got != "true true" {
		t.Errorf("while it is acquired, run and guest are in memory: %s", got)
	}
	if !r.Evict() || in() != "true false" {
		t.Errorf("after its guest was evicted, run and guest are in memory: %s", in())
	}
	r.Release()
	if got := in(); got != "false false" {
		t.Errorf("after it was released, run and guest are in memory: %s", got)
	}
	r, err := h.Acquire(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	if got := in(); got != "true false" {
		t.Errorf("after it was acquired again, run and guest are in memory: %s", got)
	}
	r.Release()
	if _, err := h.Acquire(t.Context(), "nobody"); !errors.Is(err, flawless.NotFound) {
		t.Errorf("acquiring a run that does not exist: %v", err)
	}
}

// TestQuarantinedRunIsAcquiredOnceMended quarantines a run that stays in memory. It can be acquired again, and continues,
// after it was seized and mended.
func TestQuarantinedRunIsAcquiredOnceMended(t *testing.T) {
	t.Parallel()
	h := open(t, 0, number)
	r := h.create("r")
	h.until("r", isWaiting)
	r.Quarantine(errors.New("its guest is unwell"))
	defer r.Release()
	if _, err := h.Acquire(t.Context(), "r"); !errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "unwell") {
		t.Errorf("acquiring it: %v", err)
	}
	if c := h.Counts(); c.Quarantined != 1 || !h.Quarantined()["r"] {
		t.Errorf("%d runs are quarantined: %v", c.Quarantined, h.Quarantined())
	}
	s, err := h.Seize(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	s.Mend()
	s.Release()
	same, err := h.Acquire(t.Context(), "r")
	if err != nil || same != r {
		t.Fatalf("it is the same run %v, %v", same == r, err)
	}
	same.Release()
	if _, err := r.Change(t.Context(), func(s *core.State, now int64) ([]flawless.Entry, error) {
		return s.Accept(flawless.Message{ID: "1", Type: "number", Body: []byte("1")}, now)
	}); err != nil {
		t.Fatal(err)
	}
	if r := h.until("r", hasEnded); r.Status != flawless.Completed || r.Problem != "" {
		t.Errorf("it is %+v", r)
	}
}
