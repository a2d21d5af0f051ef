package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// TestOldMessageKeysAreForgotten: all keys of the last hour are remembered, and the newest of the others.
func TestOldMessageKeysAreForgotten(t *testing.T) {
	t.Parallel()
	const more = 100
	s, now := NewState("run", allKinds()), int64(time.Hour)
	var log []flawless.Entry
	keyed := func(n int) flawless.Message {
		return flawless.Message{Type: "a", Body: flawless.Bytes("1"), Key: fmt.Sprint("key ", n)}
	}
	send := func(s *State, n int) bool {
		t.Helper()
		entries, err := s.Accept(keyed(n), now)
		if err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
		for _, e := range entries {
			s.Step(e)
			log = append(log, e)
		}
		return len(entries) > 0
	}
	for n := range MaxMessageKeys + more {
		now++
		send(s, n)
	}
	if send(s, 0) {
		t.Error("a message of the last hour was taken in again")
	}
	now += int64(2 * time.Hour)
	send(s, MaxMessageKeys+more)
	logged, image := NewState("run", s.kinds), NewState("run", s.kinds)
	for _, e := range log {
		logged.Step(e)
	}
	if err := image.Restore(s.Snapshot()); err != nil {
		t.Fatal(err)
	}
	for from, s := range map[string]*State{"in memory": s, "from the log": logged, "from an image": image} {
		if n := len(s.messageKeys.digests); n != MaxMessageKeys || n != len(s.messageKeys.order) {
			t.Errorf("%s: %d keys are remembered, in an order of %d", from, n, len(s.messageKeys.order))
		}
		for n, fresh := range map[int]bool{more: true, more + 1: false, MaxMessageKeys + more: false} {
			if entries, err := s.Accept(keyed(n), now); err != nil || (len(entries) > 0) != fresh {
				t.Errorf("%s: message %d is taken in again: %v, %v", from, n, entries, err)
			}
		}
	}
	if !bytes.Equal(s.Snapshot(), logged.Snapshot()) || !bytes.Equal(s.Snapshot(), image.Snapshot()) {
		t.Error("the log or the image makes another run")
	}
}

// TestRestoreReadsKeysOfFormat4: they have no order there.
func TestRestoreReadsKeysOfFormat4(t *testing.T) {
	t.Parallel()
	was := NewState("run", allKinds())
	for n, key := range []string{"one", "two"} {
		stepped(t, was, flawless.Entry{At: 5, Message: &flawless.Message{N: n + 1, Type: "a", Body: flawless.Bytes("1"), Key: key}})
	}
	var old map[string]any
	if err := json.Unmarshal(was.Snapshot(), &old); err != nil {
		t.Fatal(err)
	}
	delete(old, "Keyed")
	old["Format"], old["Keys"] = 4, was.messageKeys.digests
	b, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	s := NewState("run", was.kinds)
	if err := s.Restore(b); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]error{"1": nil, "2": flawless.Conflict} {
		if entries, err := s.Accept(flawless.Message{Type: "a", Body: flawless.Bytes(body), Key: "two"}, 6); entries != nil || !errors.Is(err, want) {
			t.Errorf("message %s: %v, %v", body, entries, err)
		}
	}
}

// TestForkForgetsSendersOfItsPast: the origin may have been imported. A run here with the id of a sender there is
// another run, and its first message must not be taken for a duplicate.
func TestForkForgetsSendersOfItsPast(t *testing.T) {
	t.Parallel()
	from := func(call int) flawless.Message {
		return flawless.Message{N: call, Type: "a", Body: flawless.Bytes("1"), From: "order-7", Call: call}
	}
	s := NewState("fork", allKinds())
	stepped(t, s, flawless.Entry{Start: &flawless.Start{Origin: &flawless.Origin{Run: "a", Of: "a", Turn: 2}}})
	stepped(t, s, flawless.Entry{Turn: &flawless.Turn{N: 1}})
	keyed := flawless.Message{N: 1, Type: "a", Body: flawless.Bytes("1"), Key: "k"}
	stepped(t, s, flawless.Entry{Message: &keyed})
	heard := from(7)
	stepped(t, s, flawless.Entry{Message: &heard})
	stepped(t, s, flawless.Entry{Turn: &flawless.Turn{N: 2}})
	for _, way := range []string{"from its log", "from an image"} {
		if way == "from an image" {
			image := NewState("fork", s.kinds)
			if err := image.Restore(s.Snapshot()); err != nil {
				t.Fatal(err)
			}
			s = image
		}
		entries, err := s.Accept(from(5), 9)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%s: a message to the fork: %v, %v", way, entries, err)
		}
		if again, err := s.Accept(keyed, 9); again != nil || err != nil {
			t.Errorf("%s: a client repeats what is in the past of the fork: %v, %v", way, again, err)
		}
		if way == "from an image" {
			stepped(t, s, entries[0])
		}
	}
	if again, err := s.Accept(from(5), 9); again != nil || err != nil {
		t.Errorf("it is taken in again: %v, %v", again, err)
	}
}
