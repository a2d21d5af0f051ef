package core

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// stepped is [State.Step], and fails the test if the index differs from a walk over all open calls, or if code gets an
// unknown outcome without the time for repeating the call.
func stepped(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, s *State, e flawless.Entry) []Attempt {
	t.Helper()
	if a := e.Arrival; a != nil && s.status == "" && effect.IsInterrupted(a.Answer) && !bytes.Contains(a.Head, []byte(`"repeat_until":`)) {
		t.Fatalf("the code is not told until when it may repeat call %d: %s", a.Call, a.Head)
	}
	attempts := s.Step(e)
	if err := checkIndex(s); err != nil {
		t.Fatalf("after %+v: %v", e, err)
	}
	return attempts
}

// checkIndex compares the index and the mailbox with a walk over all open calls.
func checkIndex(s *State) error {
	if len(s.open.edited) > 0 {
		return errors.New("there are edited calls that were not indexed again")
	}
	known := 0
	for _, c := range s.open.all {
		if c.keyID != "" {
			known++
			if !slices.Contains(s.open.byKeyID[c.keyID], c) {
				return fmt.Errorf("call %d is not found by its key", c.N)
			}
		}
	}
	for _, calls := range s.open.byKeyID {
		if known -= len(calls); len(calls) == 0 {
			return errors.New("a key has no calls")
		}
	}
	if known != 0 {
		return fmt.Errorf("by keys there are %d calls too few", known)
	}
	for in := range numSets {
		want := map[int]int64{}
		for _, c := range s.open.all {
			if key := c.indexKeys()[in]; key != 0 {
				want[c.N] = key
			}
		}
		if s.open.count[in] != len(want) {
			return fmt.Errorf("set %d counts %d calls, want %v", in, s.open.count[in], want)
		}
		if in >= counted {
			continue
		}
		got := map[int]int64{}
		for at, c := range s.open.heaps[in] {
			if c.index.at[in] != at || s.open.all[c.N] != c {
				return fmt.Errorf("call %d is in set %d at %d, and has position %d", c.N, in, at, c.index.at[in])
			}
			if in.compare(s.open.heaps[in][(at-1)/2], c) > 0 {
				return fmt.Errorf("call %d is in set %d below one that comes later", c.N, in)
			}
			got[c.N] = c.index.keys[in]
		}
		if !maps.Equal(got, want) {
			return fmt.Errorf("set %d has %v, want %v", in, got, want)
		}
		list := s.open.list(in)
		if !slices.IsSortedFunc(list, in.compare) || !slices.Equal(list, s.open.firstN(in, len(list)+1)) {
			return fmt.Errorf("set %d is listed as %v", in, list)
		}
	}
	unresolved, retries := s.open.unresolvedCalls(), s.Retrying()
	s.open.unresolvedView, s.open.retryingView = nil, nil
	if d, r := s.open.unresolvedCalls(), s.Retrying(); !reflect.DeepEqual(d, unresolved) || !reflect.DeepEqual(r, retries) {
		return fmt.Errorf("the views are %+v and %+v, want %+v and %+v", unresolved, retries, d, r)
	}
	return checkMailbox(s)
}

func checkMailbox(s *State) error {
	want := newMailbox()
	for _, m := range s.mail.messages {
		want.add(m)
	}
	for _, c := range s.open.all {
		if c.receives != nil && !c.withdrawing {
			waits := *c
			waits.inMailbox = false
			want.setWaiting(&waits, true)
		}
	}
	same := func(a, b *box) bool {
		return slices.Equal(a.messages, b.messages) && slices.EqualFunc(a.calls, b.calls, func(a, b *OpenCall) bool { return a.N == b.N })
	}
	if !maps.EqualFunc(s.mail.boxes, want.boxes, same) || !maps.EqualFunc(s.mail.matchable, want.matchable, same) {
		return fmt.Errorf("the mailbox has %v, want %v", s.mail.boxes, want.boxes)
	}
	return nil
}

// TestRetryingCallsAreListedUpToALimit: the size of a run's row does not depend on how many of its calls are retried.
func TestRetryingCallsAreListedUpToALimit(t *testing.T) {
	t.Parallel()
	w := newScenario(t)
	w.do("turn: " + strings.Repeat("put retry, ", 49) + "put retry")
	for n := 50; n > 0; n-- {
		w.do(fmt.Sprint("not sent: ", n))
	}
	check := func(first, last, all int) {
		t.Helper()
		r := w.s.Summary()
		if n := len(r.Retrying); n != flawless.MaxRetrying || r.RetryingCalls != all || r.Retrying[0].Call != first || r.Retrying[n-1].Call != last {
			t.Errorf("%d calls are retried, listed are %+v", r.RetryingCalls, r.Retrying)
		}
	}
	check(1, 20, 50)
	w.take(w.s.Fire(w.now + int64(time.Hour))...)
	w.do("answered: 1")
	w.do("answered: 20")
	check(2, 22, 48)
	w.do("terminate")
	if r := w.s.Summary(); r.RetryingCalls != 0 || r.Retrying != nil {
		t.Errorf("after the end of the run %d calls are retried", r.RetryingCalls)
	}
}
