package core

import (
	"cmp"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// WaitsFor is what a run waits for, as far as it is known without reading a call. Two waits of a run are the same one if
// they are equal.
type WaitsFor struct {
	Kind flawless.WaitKind // "" if the run waits for nothing
	Call int               // 0 if it is not about a call
}

// WaitsFor returns what the run waits for. Its cost does not depend on the number of open calls.
func (s *State) WaitsFor() WaitsFor {
	kind, c := s.waits()
	if c == nil {
		return WaitsFor{Kind: kind}
	}
	return WaitsFor{kind, c.N}
}

// Waiting returns what the run waits for as people see it, or nil if it waits for nothing.
func (s *State) Waiting() *flawless.Wait {
	kind, c := s.waits()
	if kind == "" {
		return nil
	}
	w := &flawless.Wait{Kind: kind}
	until := int64(0)
	switch {
	case kind == flawless.WaitTimer:
		until = s.wake
	case kind == flawless.WaitQueue:
		if until = 0; s.start.Queue != nil {
			w.Name = s.start.Queue.Key
		}
		at := time.Unix(0, s.start.Time)
		w.Since = &at
	}
	if c != nil {
		s.describe(w, c)
		since := c.madeAt
		switch kind {
		case flawless.WaitPerson:
			since = cmp.Or(c.unknownAt, since)
			w.Others = s.open.count[unresolved] - 1
		case flawless.WaitRetry:
			until = c.nextAt
			w.Others = s.open.count[awaited] - 1
		default:
			until = earliest(c.dueAt, s.wake)
			w.Others = s.open.count[awaited] - 1
		}
		w.Others = max(w.Others, 0) // a call of unknown outcome may be one that wakes nobody
		at := time.Unix(0, since)
		w.Since = &at
	}
	if until != 0 {
		at := time.Unix(0, until)
		w.Until = &at
	}
	return w
}

// describe adds the call to what is shown of a wait for it.
func (s *State) describe(w *flawless.Wait, c *OpenCall) {
	w.Call, w.Name, w.Site = c.N, c.policy.Title, c.Site()
	switch w.Kind {
	case flawless.WaitTimer:
		w.Name = ""
	case flawless.WaitMessage:
		if c.receives != nil {
			w.Name = strings.Join(c.receives.Types, " or ")
		}
	case flawless.WaitPromise:
		if h, err := effect.ParsePromise(c.Call); err == nil {
			w.Name = h.Name
		}
	case flawless.WaitState:
		if h, err := effect.ParseState(c.Call); err == nil {
			w.Name = h.Name
		}
	case flawless.WaitChild:
		h, err := effect.ParseAwait(c.Call)
		if w.Name = cmp.Or(c.child, ChildID(s.id, c.N)); c.Kind == effect.Await && err == nil {
			w.Name = h.Run
		}
	case flawless.WaitLimit:
		w.Name = c.policy.Host
	}
}

// waits returns what the run waits for, and the call if it is about one.
func (s *State) waits() (flawless.WaitKind, *OpenCall) {
	if s.status != "" {
		return "", nil
	}
	if c := s.open.top(unresolved); c != nil {
		return flawless.WaitPerson, c
	}
	switch s.Status() {
	case flawless.Paused:
		return flawless.WaitPerson, nil
	case flawless.Pending:
		return flawless.WaitQueue, nil
	}
	if len(s.ready) > 0 {
		return "", nil // it is about to compute
	}
	if c := s.open.top(permits); c != nil {
		return flawless.WaitLimit, c
	}
	if c := s.open.top(retrying); c != nil {
		return flawless.WaitRetry, c
	}
	if c := s.open.top(awaited); c != nil {
		return kindOf(c), c
	}
	if s.wake != 0 {
		return flawless.WaitTimer, nil
	}
	return "", nil
}

// kindOf returns what a run waits for that waits for the answer of a call.
func kindOf(c *OpenCall) flawless.WaitKind {
	switch c.Kind {
	case effect.Sleep:
		return flawless.WaitTimer
	case effect.Receive:
		return flawless.WaitMessage
	case effect.Promise:
		return flawless.WaitPromise
	case effect.Spawn, effect.Await:
		return flawless.WaitChild
	case effect.State:
		return flawless.WaitState
	}
	return flawless.WaitCall
}

// earliest returns the earlier of two times that may be 0, which is never.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
