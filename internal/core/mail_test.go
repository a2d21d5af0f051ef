package core

import (
	"errors"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// TestEndedRunConfirmsDuplicateMessages: the sender may not know that its message arrived.
func TestEndedRunConfirmsDuplicateMessages(t *testing.T) {
	t.Parallel()
	sent := flawless.Message{Type: "a", Body: flawless.Bytes("1"), From: "sender", Call: 4, N: 1}
	s := NewState("x", allKinds())
	stepped(t, s, flawless.Entry{Message: &sent})
	stepped(t, s, flawless.Entry{End: &flawless.End{Status: flawless.Terminated}})
	if entries, err := s.Accept(sent, 1); entries != nil || err != nil {
		t.Errorf("what a run has sent before: %v, %v", entries, err)
	}
	sent.Call++
	if _, err := s.Accept(sent, 1); !errors.Is(err, flawless.Conflict) {
		t.Errorf("what it sends now: %v", err)
	}
}

// TestUnknownMessagesAreResentInOrder: a message that arrives after a later one would be taken for a duplicate.
func TestUnknownMessagesAreResentInOrder(t *testing.T) {
	t.Parallel()
	s := NewState("r", allKinds())
	stepped(t, s, flawless.Entry{Turn: &flawless.Turn{N: 1, Calls: []flawless.Call{
		{N: 2, Kind: effect.Send, Head: []byte(`{"to":"a","type":"t"}`), Body: []byte("1")}, {N: 3, Kind: effect.Send, Head: []byte(`{"to":"a","type":"t"}`), Body: []byte("2")}}}})
	for n := 2; n <= 3; n++ {
		stepped(t, s, flawless.Entry{Unknown: &flawless.Unknown{Call: n, Reason: "as in a fork"}})
	}
	again := func(n int, how flawless.Resolution) error {
		entries, err := s.Decide(flawless.Decision{Call: n, Resolution: how}, 1)
		for _, x := range entries {
			stepped(t, s, x)
		}
		return err
	}
	if err := again(3, flawless.Retry); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "call 2") {
		t.Errorf("the second first: %v", err)
	}
	if err := errors.Join(again(2, flawless.Retry), again(3, flawless.Retry)); err != nil {
		t.Error(err)
	}
}
