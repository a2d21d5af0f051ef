package engine

import (
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestARunStaysWhileATryIsLeft: between the end of the driving and the performing of the try that it has
// left, somebody lets go of the run and its guest leaves memory. The run must not: a second one, made again
// from the log, would find the try lost, and repeat it or call it unknown beside the first.
func TestARunStaysWhileATryIsLeft(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	topic, done := e.subscribe("r")
	defer done()
	w := &watch{runs: map[string]flawless.Run{}, more: make(chan struct{}, 1), closed: make(chan struct{})}
	e.mu.Lock()
	e.watches[w] = struct{}{}
	e.mu.Unlock()

	topic.mu.Lock()
	r, err := e.begin(t.Context(), &Start{Module: "guest", Workflow: "script", ID: "r",
		Input: input(t, map[string]any{"url": out.URL, "steps": []map[string]any{{"put": "/put"}, {"post": "/post"}}})})
	if err != nil {
		t.Fatal(err)
	}
	<-w.more
	e.mu.Lock() // the driver has written and told, and gets no further than to the end of its driving
	delete(e.watches, w)
	topic.mu.Unlock()
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
