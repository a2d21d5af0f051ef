package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// beginHeld begins the run "r", acquired, and returns when its first write is done and told to all but those
// who follow the run. They are told, and its driver goes on, when goOn is called.
func beginHeld(t *testing.T, e *Engine, workflow string, in any) (r *run, goOn func()) {
	t.Helper()
	topic, done := e.hub.Follow("r")
	t.Cleanup(done)
	w, leave := e.hub.Watch()
	goOn = topic.Block()
	r, err := e.begin(t.Context(), &Start{Module: "guest", Workflow: workflow, ID: "r", Input: input(t, in)})
	if err != nil {
		t.Fatal(err)
	}
	<-w.More()
	leave()
	return r, goOn
}

// TestARunStaysWhileATryIsLeft: between the end of the driving and the performing of the try that it has
// left, somebody lets go of the run and its guest leaves memory. The run must not: a second one, made again
// from the log, would find the try lost, and repeat it or call it unknown beside the first.
func TestARunStaysWhileATryIsLeft(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	r, goOn := beginHeld(t, e, "script", map[string]any{"url": out.URL, "steps": []map[string]any{{"put": "/put"}, {"post": "/post"}}})
	e.mu.Lock() // the driver has written and told, and gets no further than to the end of its driving
	goOn()
	r.mu.Lock()
	for r.driving {
		r.idle.Wait()
	}
	leave := func() {}
	if r.inst != nil {
		leave = r.detach()
	}
	r.refs-- // ours
	r.mu.Unlock()
	e.settle(r)
	stays := e.runs["r"] == r
	e.mu.Unlock()
	leave()
	if !stays {
		t.Error("the run has left memory before the try that was left was performed")
	}
	if r := mustEnd(t, e, "r"); r.Status != flawless.Completed || out.count("/put") != 1 || out.count("/post") != 1 {
		t.Errorf("it is %+v, and the outside saw %d and %d", r, out.count("/put"), out.count("/post"))
	}
}

// TestWhatFollowsAWriteComesBeforeTheNext: while somebody is still to be told of a write of a run, nothing
// more of it is written.
func TestWhatFollowsAWriteComesBeforeTheNext(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	r, goOn := beginHeld(t, e, "mailbox", 1)
	r.mu.Lock()
	if r.written == 0 || !r.writing {
		t.Errorf("%d writes are durable, and the next may be written already: %v", r.written, !r.writing)
	}
	r.mu.Unlock()
	goOn()
	e.release(r)
	mustSend(t, e, "r", "number", "1")
	mustComplete(t, e, "r", "[1]")
}

// TestNothingIsRefusedForWhatIsNotDurable: an end that a crash may undo is no reason yet.
func TestNothingIsRefusedForWhatIsNotDurable(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "mailbox", 1, "the-box")
	until(t, e, "the-box", func(r flawless.Run) bool { return r.Turns >= 2 })
	e.Kill()
	held := &holding{KV: kv, row: []byte("rthe-box\x00\x01"), held: make(chan struct{}), goOn: make(chan struct{})}
	e, err := reopen(t, held, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Kill()
	told := make(chan error)
	go func() {
		_, err := e.Terminate(t.Context(), "the-box", flawless.Cancel{})
		told <- err
	}()
	<-held.held
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing waits longer than this
	if _, err := e.Cancel(ctx, "the-box", flawless.Cancel{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancellation was answered with %v", err)
	}
	if _, err := e.Send(ctx, "the-box", flawless.Message{Type: "number", Body: []byte("1")}); !errors.Is(err, context.Canceled) {
		t.Errorf("a message was answered with %v", err)
	}
	close(held.goOn)
	if err := <-told; err != nil {
		t.Error(err)
	}
	if _, err := e.Send(t.Context(), "the-box", flawless.Message{Type: "number", Body: []byte("1")}); !errors.Is(err, flawless.Conflict) {
		t.Errorf("a message after the end was answered with %v", err)
	}
}
