package core

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// After each entry the engine asks which of a run's open calls are due, unresolved, being retried and so on. A run may
// have thousands of open calls, so an index answers these questions: one set of calls per question.
//
// The sets that a call belongs to depend only on the call ([OpenCall.indexKeys]). Entries change calls only through
// [openCalls.edit], and [State.Step] indexes the edited calls again at its end, so no entry can forget to update a set.
// Tests compare the index with a walk over all calls after each entry.

// set identifies a set of open calls.
type set int

const (
	invalid     set = iota // cannot be performed; to be answered with the reason
	unresolved             // have an unknown outcome
	retrying               // have failed and are retried
	reporting              // report that the code itself does not know an outcome
	awaitCancel            // are answered when the run is cancelled
	errands                // are carried out by the engine itself; wait for no decision
	due                    // are answered at a set time
	next                   // are retried at a set time
	awaited                // will be answered, which wakes the guest; the newest first
	permits                // wait for a rate-limit permit
	owned                  // need attention from an owner after a restart
	external               // can be answered by something other than another run
	numSets
)

// counted is the first set of which only the size is needed.
const counted = owned

// indexKeys returns the key of the call in each set that it belongs to, and 0 for the others. Sets are ordered by key,
// then by call number.
func (c *OpenCall) indexKeys() (keys [numSets]int64) {
	on := func(s set, belongs bool) {
		if belongs {
			keys[s] = 1
		}
	}
	ok, doubt := c.invalid == nil, c.unknownReason != ""
	on(invalid, !ok)
	on(unresolved, doubt)
	on(retrying, c.lastFailure != nil && !doubt)
	keys[next] = c.nextAt
	if c.kind == nil || !c.kind.Idle {
		keys[awaited] = -int64(c.N)
	}
	on(permits, c.awaitsPermit)
	if !ok {
		on(owned, true)
		on(external, true)
		return keys
	}
	keys[due] = c.dueAt
	on(reporting, c.Kind == effect.Doubt && !doubt)
	on(awaitCancel, c.Kind == effect.Cancelled)
	on(errands, c.kind.Errand && !doubt)
	on(owned, c.kind.Errand || c.kind.Perform != nil && !doubt)
	on(external, doubt || c.dueAt != 0 || c.nextAt != 0 || !c.kind.Idle && !c.kind.Errand)
	return keys
}

// indexEntry is what the index knows of a call.
type indexEntry struct {
	keys [numSets]int64
	at   [counted]int // its position in each heap where it has a key
}

// openCalls are the open calls of a run.
type openCalls struct {
	all     map[int]*OpenCall
	byKeyID map[string][]*OpenCall // by keyIdentity, in the order in which they were made
	edited  []*OpenCall            // to be indexed again
	heaps   [counted]heap
	count   [numSets]int

	// Cached views for people of the unresolved and the retried calls; nil if they are out of date. Most entries leave
	// them unchanged, and nobody modifies them.
	unresolvedView []flawless.Doubt
	retryingView   []flawless.Retrying
}

// edit returns an open call that is about to be changed or removed, or nil.
func (o *openCalls) edit(n int) *OpenCall {
	c := o.all[n]
	if c != nil {
		o.edited = append(o.edited, c)
	}
	return c
}

func (o *openCalls) add(c *OpenCall) {
	o.all[c.N] = c
	if c.keyID != "" {
		o.byKeyID[c.keyID] = append(o.byKeyID[c.keyID], c)
	}
	o.edited = append(o.edited, c)
}

// remove removes a call that edit has returned.
func (o *openCalls) remove(c *OpenCall) {
	delete(o.all, c.N)
	if c.keyID == "" {
		return
	}
	o.byKeyID[c.keyID] = slices.DeleteFunc(o.byKeyID[c.keyID], func(x *OpenCall) bool { return x == c })
	if len(o.byKeyID[c.keyID]) == 0 {
		delete(o.byKeyID, c.keyID)
	}
}

// reindex updates the sets of the edited calls, and the mailbox for those that receive messages.
func (o *openCalls) reindex(mail *mailbox) {
	for _, c := range o.edited {
		var keys [numSets]int64
		open := o.all[c.N] == c
		if open {
			keys = c.indexKeys()
		}
		if keys[unresolved] != 0 || c.index.keys[unresolved] != 0 {
			o.unresolvedView = nil
		}
		if keys[retrying] != 0 || c.index.keys[retrying] != 0 {
			o.retryingView = nil
		}
		for s, key := range keys {
			was := c.index.keys[s]
			if was == key {
				continue
			}
			c.index.keys[s] = key
			switch on := s < int(counted); {
			case was == 0:
				if o.count[s]++; on {
					o.heaps[s].push(set(s), c)
				}
			case key == 0:
				if o.count[s]--; on {
					o.heaps[s].remove(set(s), c)
				}
			case on:
				o.heaps[s].fix(set(s), c)
			}
		}
		if c.receives != nil {
			mail.setWaiting(c, open && !c.withdrawing)
		}
	}
	clear(o.edited)
	o.edited = o.edited[:0]
}

// top returns the first call of a set, or nil.
func (o *openCalls) top(s set) *OpenCall {
	if len(o.heaps[s]) == 0 {
		return nil
	}
	return o.heaps[s][0]
}

// first returns the lowest key of a set, 0 if it is empty.
func (o *openCalls) first(s set) int64 {
	if len(o.heaps[s]) == 0 {
		return 0
	}
	return o.heaps[s][0].index.keys[s]
}

// list returns the calls of a set in order.
func (o *openCalls) list(s set) []*OpenCall { return o.upTo(s, math.MaxInt64) }

// upTo returns the calls of a set with keys up to limit, in order.
func (o *openCalls) upTo(s set, limit int64) (out []*OpenCall) {
	h := o.heaps[s]
	var visit func(at int)
	visit = func(at int) {
		if at < len(h) && h[at].index.keys[s] <= limit {
			out = append(out, h[at])
			visit(2*at + 1)
			visit(2*at + 2)
		}
	}
	visit(0)
	slices.SortFunc(out, s.compare)
	return out
}

// firstN returns the first n calls of a set, in order.
func (o *openCalls) firstN(s set, n int) (out []*OpenCall) {
	h := o.heaps[s]
	edge := slices.Clone(h[:min(1, len(h))]) // sorted; the next call is one of these
	for len(edge) > 0 && len(out) < n {
		c := edge[0]
		edge, out = edge[1:], append(out, c)
		for _, below := range []int{2*c.index.at[s] + 1, 2*c.index.at[s] + 2} {
			if below < len(h) {
				i, _ := slices.BinarySearchFunc(edge, h[below], s.compare)
				edge = slices.Insert(edge, i, h[below])
			}
		}
	}
	return out
}

// unresolvedCalls returns the calls with an unknown outcome as people see them. A crash can leave thousands of them.
func (o *openCalls) unresolvedCalls() []flawless.Doubt {
	if o.unresolvedView == nil {
		for _, c := range o.list(unresolved) {
			o.unresolvedView = append(o.unresolvedView, flawless.Doubt{Call: c.N, Reason: c.unknownReason, Since: time.Unix(0, c.unknownAt), Request: c.policy.Title, Unseen: c.unseen != 0})
		}
	}
	return o.unresolvedView
}

func (s set) compare(a, b *OpenCall) int {
	return cmp.Or(cmp.Compare(a.index.keys[s], b.index.keys[s]), byNumber(a, b))
}

// heap is a binary heap of calls that know their positions in it.
type heap []*OpenCall

func (h *heap) push(s set, c *OpenCall) {
	*h = append(*h, c)
	h.up(s, len(*h)-1)
}

func (h *heap) remove(s set, c *OpenCall) {
	at, last := c.index.at[s], len(*h)-1
	moved := (*h)[last]
	(*h)[last] = nil
	if *h = (*h)[:last]; at < last {
		(*h)[at] = moved
		moved.index.at[s] = at
		h.fix(s, moved)
	}
}

// fix restores the heap after the key of a call has changed.
func (h *heap) fix(s set, c *OpenCall) {
	h.up(s, c.index.at[s])
	h.down(s, c.index.at[s])
}

func (h *heap) up(s set, at int) {
	c := (*h)[at]
	for at > 0 {
		above := (at - 1) / 2
		if s.compare((*h)[above], c) <= 0 {
			break
		}
		h.put(s, at, (*h)[above])
		at = above
	}
	h.put(s, at, c)
}

func (h *heap) down(s set, at int) {
	c := (*h)[at]
	for {
		child := 2*at + 1
		if child >= len(*h) {
			break
		}
		if child+1 < len(*h) && s.compare((*h)[child+1], (*h)[child]) < 0 {
			child++
		}
		if s.compare(c, (*h)[child]) <= 0 {
			break
		}
		h.put(s, at, (*h)[child])
		at = child
	}
	h.put(s, at, c)
}

func (h *heap) put(s set, at int, c *OpenCall) {
	(*h)[at] = c
	c.index.at[s] = at
}
