package engine

import (
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestLateMessageOfForgottenSenderIsKnown: a run with many senders forgets those that have ended. A message of one of them that
// another server sends again much later must not count as a new one.
func TestLateMessageOfForgottenSenderIsKnown(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "mailbox", 2*core.MaxSenders, "receiver")
	mustStart(t, e, "want", ops(), "ended")
	if _, err := e.Wait(t.Context(), "ended"); err != nil {
		t.Fatal(err)
	}
	mustStart(t, e, "obey", nil, "open")
	send := func(from string) (more bool) {
		t.Helper()
		before := messagesOf(t, e, "receiver")
		m := flawless.Message{ID: from + "-1", From: from, Call: 1, Type: "unread", Body: []byte("1")}
		if _, err := sendOp.serve(e, t.Context(), sendRequest{To: "receiver", Message: m}); err != nil {
			t.Fatal(err)
		}
		return messagesOf(t, e, "receiver") > before
	}
	for n := range core.MaxSenders + 1 {
		if _, err := e.Send(t.Context(), "receiver", flawless.Message{Type: "unread", Body: []byte("1"), Key: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range map[string]bool{"ended": false, "removed": false, "open": true} {
		if got := send(from); got != want {
			t.Errorf("a message of a run that is %s is new: %v", from, got)
		}
	}
	if send("open") {
		t.Error("a message that is sent again at once is new")
	}
}

func messagesOf(t *testing.T, e *Engine, id string) int {
	t.Helper()
	unread, err := e.Unread(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return len(unread)
}
