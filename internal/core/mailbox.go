package core

import (
	"cmp"
	"maps"
	"slices"

	"github.com/flawless-engine/flawless"
)

// mailbox holds the messages that a run has not received and the calls that wait for one. Both are sorted by type, so
// the cost of a message does not depend on how many messages and calls are of other types.
type mailbox struct {
	messages  map[int]flawless.Message // by number
	boxes     map[string]*box          // by type; never empty
	matchable map[string]*box          // boxes with both messages and calls
}

// box holds the messages and calls of one type.
type box struct {
	messages []int       // in order
	calls    []*OpenCall // in order; a call that accepts several types is in several boxes
}

func newMailbox() mailbox {
	return mailbox{messages: map[int]flawless.Message{}, boxes: map[string]*box{}, matchable: map[string]*box{}}
}

func (m *mailbox) count() int { return len(m.messages) }

// list returns the messages, oldest first.
func (m *mailbox) list() []flawless.Message {
	return slices.SortedFunc(maps.Values(m.messages), func(a, b flawless.Message) int { return cmp.Compare(a.N, b.N) })
}

func (m *mailbox) add(msg flawless.Message) {
	m.messages[msg.N] = msg
	m.change(msg.Type, func(b *box) { b.messages = insertSorted(b.messages, msg.N, cmp.Compare) })
}

// remove removes a message that was handed over, if it is there.
func (m *mailbox) remove(n int) {
	if msg, ok := m.messages[n]; ok {
		delete(m.messages, n)
		m.change(msg.Type, func(b *box) { b.messages = removeSorted(b.messages, n, cmp.Compare) })
	}
}

// setWaiting records whether a call waits for messages.
func (m *mailbox) setWaiting(c *OpenCall, waits bool) {
	if c.inMailbox == waits {
		return
	}
	c.inMailbox = waits
	for _, t := range c.receives.Types {
		m.change(t, func(b *box) {
			if waits {
				b.calls = insertSorted(b.calls, c, byNumber)
			} else {
				b.calls = removeSorted(b.calls, c, byNumber)
			}
		})
	}
}

// waitingFor returns the calls that wait for messages of a type, in order.
func (m *mailbox) waitingFor(t string) []*OpenCall {
	if b := m.boxes[t]; b != nil {
		return b.calls
	}
	return nil
}

// change applies f to the box of a type.
func (m *mailbox) change(t string, f func(b *box)) {
	b := m.boxes[t]
	if b == nil {
		b = &box{}
		m.boxes[t] = b
	}
	f(b)
	delete(m.matchable, t)
	switch {
	case len(b.messages) > 0 && len(b.calls) > 0:
		m.matchable[t] = b
	case len(b.messages) == 0 && len(b.calls) == 0:
		delete(m.boxes, t)
	}
}

// insertSorted inserts x into a sorted list unless it is there. Usually it goes to the end.
func insertSorted[T any](list []T, x T, compare func(a, b T) int) []T {
	i, found := slices.BinarySearchFunc(list, x, compare)
	if found {
		return list
	}
	return slices.Insert(list, i, x)
}

// removeSorted removes x from a sorted list. Usually it is the first.
func removeSorted[T any](list []T, x T, compare func(a, b T) int) []T {
	i, found := slices.BinarySearchFunc(list, x, compare)
	switch {
	case !found:
		return list
	case i == 0:
		clear(list[:1])
		return list[1:]
	}
	return slices.Delete(list, i, i+1)
}

// delivery is a message for a call.
type delivery struct {
	call    int
	message flawless.Message
}

// boxCursor is how far matches has come in a box.
type boxCursor struct {
	*box
	call int // the next one to choose
	from int // messages before this one are taken
}

// matches returns which calls get which messages. In the order of the calls, each gets the oldest message of its types
// that fits it. A message that does not fit stays in the mailbox: other code may receive it.
func (m *mailbox) matches() (out []delivery) {
	at := map[string]*boxCursor{}
	for t, b := range m.matchable {
		at[t] = &boxCursor{box: b}
	}
	taken := map[int]bool{}
	for {
		var c *OpenCall
		for t, b := range at {
			for b.from < len(b.messages) && taken[b.messages[b.from]] {
				b.from++
			}
			if b.from == len(b.messages) || b.call == len(b.calls) {
				delete(at, t)
				continue
			}
			if first := b.calls[b.call]; c == nil || first.N < c.N {
				c = first
			}
		}
		if c == nil {
			return out
		}
		for _, b := range at {
			if b.calls[b.call] == c {
				b.call++
			}
		}
		if n := m.choose(c, at, taken); n != 0 {
			taken[n] = true
			out = append(out, delivery{c.N, m.messages[n]})
		}
	}
}

// choose returns the message that a call gets, 0 for none.
func (m *mailbox) choose(c *OpenCall, at map[string]*boxCursor, taken map[int]bool) int {
	for {
		n := 0
		for _, t := range c.receives.Types {
			b := at[t]
			if b == nil {
				continue
			}
			i, _ := slices.BinarySearch(b.messages, c.typed.unfit+1)
			for i = max(i, b.from); i < len(b.messages) && taken[b.messages[i]]; i++ {
			}
			if i < len(b.messages) && (n == 0 || b.messages[i] < n) {
				n = b.messages[i]
			}
		}
		if n == 0 || c.Fits(c.receives.Schema, m.messages[n].Body, "") == nil {
			return n
		}
		c.typed.unfit = n
	}
}
