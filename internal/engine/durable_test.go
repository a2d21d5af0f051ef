package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestRefusalWaitsForDurableReason: an end that a crash may undo is no reason yet.
func TestRefusalWaitsForDurableReason(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	mustStart(t, e, "mailbox", 1, "the-box")
	until(t, e, "the-box", func(r flawless.Run) bool { return r.Turns >= 2 })
	e.Kill()
	held := &holding{KV: kv, row: rowOf('r', "the-box"), held: make(chan struct{}), goOn: make(chan struct{})}
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
