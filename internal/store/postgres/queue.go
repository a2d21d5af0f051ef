package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless/internal/store"
)

// Limits of what one statement carries. A larger batch is alone in its statement.
const (
	maxBatches = 256
	maxBytes   = 4 << 20
	maxLooked  = 1000 // waiting batches that are examined for one statement
)

// batch is a batch that waits or is being written. It has copies of all slices.
type batch struct {
	expect []expectation
	set    []change
	delete []change // without values
	uses   []use
	bytes  int
	done   chan error     // receives the result once, has room for it
	at     store.Position // of the statement with which it took effect; written before done receives nil

	// Guarded by the lock of the queue.
	taken     bool      // by a lane
	abandoned bool      // its caller has gone without a result
	tries     int       // how often it was put back
	after     time.Time // no lane takes it before
}

// expectation is an expected row.
type expectation struct {
	table   table
	key     []byte
	value   []byte // nil if it must not exist
	written bool   // the batch changes it, too
}

// change is a row that is set or deleted.
type change struct {
	table      table
	key, value []byte
	fresh      bool // the batch expects that it does not exist
}

// use is a key of a batch, and whether the batch changes it or only expects something of it.
type use struct {
	key    string
	writes bool
}

// newBatch copies a batch.
func newBatch(b *store.Batch) *batch {
	size := 0
	for _, it := range b.Expect {
		size += len(it.Key) + len(it.Value)
	}
	for _, it := range b.Set {
		size += len(it.Key) + len(it.Value)
	}
	for _, k := range b.Delete {
		size += len(k)
	}
	memory := make([]byte, 0, size)
	keep := func(s []byte) []byte {
		n := len(memory)
		memory = append(memory, s...)
		return memory[n:len(memory):len(memory)]
	}
	p := &batch{bytes: size, done: make(chan error, 1)}
	own := make(map[string]int, len(b.Expect)+len(b.Set)+len(b.Delete)) // place in uses
	write := func(k []byte) {
		own[string(k)] = len(p.uses)
		p.uses = append(p.uses, use{key: string(k), writes: true})
	}
	for _, it := range b.Set {
		k := keep(it.Key)
		write(k)
		p.set = append(p.set, change{table: tableOf(k), key: k, value: keep(it.Value)})
	}
	sets := len(p.uses)
	for _, k := range b.Delete {
		k = keep(k)
		write(k)
		p.delete = append(p.delete, change{table: tableOf(k), key: k})
	}
	for _, it := range b.Expect {
		e := expectation{table: tableOf(it.Key), key: keep(it.Key)}
		if it.Value != nil {
			e.value = keep(it.Value)
		}
		i, known := own[string(e.key)]
		if !known {
			i = len(p.uses)
			own[string(e.key)] = i
			p.uses = append(p.uses, use{key: string(e.key)})
		}
		e.written = p.uses[i].writes
		if e.value == nil && i < sets {
			p.set[i].fresh = true
		}
		p.expect = append(p.expect, e)
	}
	return p
}

// claim is the use of a key by batches that are being written.
type claim struct {
	writes bool
	users  int
}

// claims are the keys that batches use. A key that a batch writes must not be used by any other one in the same
// statement, or in another one at the same time. Batches that only have expectations, equal or not, do not disturb each
// other.
type claims map[string]*claim

func (c claims) allow(p *batch) bool {
	for i := range p.uses {
		u := &p.uses[i]
		if other := c[u.key]; other != nil && (u.writes || other.writes) {
			return false
		}
	}
	return true
}

func (c claims) add(p *batch) {
	for _, u := range p.uses {
		if other := c[u.key]; other != nil { // with writes, this occurs only among batches that wait
			other.users++
			other.writes = other.writes || u.writes
			continue
		}
		c[u.key] = &claim{writes: u.writes, users: 1}
	}
}

func (c claims) remove(p *batch) {
	for _, u := range p.uses {
		if other := c[u.key]; other.users > 1 {
			other.users--
		} else {
			delete(c, u.key)
		}
	}
}

// queue has the batches that wait for a lane, in the order of their arrival, and knows which keys are being written.
type queue struct {
	mu      sync.Mutex
	more    sync.Cond // signalled when a batch arrives, one is done, or the queue is closed
	waiting []*batch
	claims  claims
	closed  bool
	dropped bool  // what waited was answered with err
	err     error // why nothing is accepted any more

	abandoned int           // batches that a lane has and whose caller has gone
	settled   chan struct{} // closed when there are none; nil if there are none
}

func newQueue() *queue {
	q := &queue{claims: claims{}}
	q.more.L = &q.mu
	return q
}

// put adds a batch. It returns why nothing is accepted, or nil.
func (q *queue) put(p *batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	q.waiting = append(q.waiting, p)
	q.more.Signal()
	return nil
}

// take waits for batches that one statement may carry, and returns them; nil when the queue is closed and empty. A batch
// never overtakes one with which it shares a key, so that none waits forever.
func (q *queue) take() []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if group := q.compatible(); len(group) > 0 {
			if len(q.waiting) > 0 {
				q.more.Signal() // another lane may have what this one left
			}
			return group
		}
		if q.closed && len(q.waiting) == 0 {
			return nil
		}
		q.more.Wait()
	}
}

// compatible removes the next batches from the queue. The caller holds mu.
func (q *queue) compatible() (group []*batch) {
	left, size := q.waiting[:0], 0
	var passed claims
	for i, p := range q.waiting {
		if i == maxLooked || len(group) == maxBatches {
			left = append(left, q.waiting[i:]...)
			break
		}
		// A batch that was put back twice is alone, so that it holds up no other one.
		fits := len(group) == 0 || size+p.bytes <= maxBytes && p.tries < 2 && group[0].tries < 2
		if fits && (p.tries == 0 || !time.Now().Before(p.after)) && q.claims.allow(p) && passed.allow(p) {
			q.claims.add(p)
			p.taken = true
			size += p.bytes
			group = append(group, p)
			continue
		}
		if passed == nil {
			passed = claims{}
		}
		passed.add(p)
		left = append(left, p)
	}
	clear(q.waiting[len(left):])
	q.waiting = left
	return group
}

// answer gives batches that a lane has their results, and frees their keys.
func (q *queue) answer(group []*batch, result func(i int) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, p := range group {
		q.claims.remove(p)
		if p.abandoned {
			if q.abandoned--; q.abandoned == 0 {
				close(q.settled)
				q.settled = nil
			}
		}
		p.done <- result(i)
	}
	q.more.Broadcast()
}

// withdraw removes a batch that no lane has yet, and reports whether it did.
func (q *queue) withdraw(p *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.taken {
		return false
	}
	if i := slices.Index(q.waiting, p); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.more.Broadcast() // others may have waited behind it
	}
	return true
}

// abandon notes that the caller of a batch has gone. It returns false if the result is there.
func (q *queue) abandon(p *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(p.done) > 0 {
		return false
	}
	p.abandoned = true
	if q.abandoned++; q.settled == nil {
		q.settled = make(chan struct{})
	}
	return true
}

// errNotWritten answers a batch whose caller has gone.
var errNotWritten = errors.New("the batch was not written")

// wanted returns those batches of a group that were not abandoned, and drops the others. It is for batches that certainly
// were not written.
func (q *queue) wanted(group []*batch) []*batch {
	var left, gone []*batch
	q.mu.Lock()
	for _, p := range group {
		if p.abandoned {
			gone = append(gone, p)
		} else {
			left = append(left, p)
		}
	}
	q.mu.Unlock()
	if len(gone) > 0 {
		q.answer(gone, func(int) error { return errNotWritten })
	}
	return left
}

// maxPause is the longest pause before a batch that was put back is taken again. It is short, because a claim only gets
// its row between two statements of a busy owner.
const maxPause = 8 * time.Millisecond

// putBack returns batches to the queue that were not written because of other transactions. They are the first again, but
// not before a pause.
func (q *queue) putBack(group []*batch) {
	group = q.wanted(group)
	if len(group) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil && q.dropped {
		for _, p := range group {
			q.claims.remove(p)
			p.done <- q.err
		}
		q.more.Broadcast()
		return
	}
	tries := 0
	for _, p := range group {
		p.tries++
		tries = max(tries, p.tries)
	}
	pause := min(time.Millisecond<<min(tries-1, 10), maxPause)
	pause = pause/2 + rand.N(pause)
	for _, p := range group {
		q.claims.remove(p)
		p.taken, p.after = false, time.Now().Add(pause)
	}
	q.waiting = slices.Concat(group, q.waiting)
	q.more.Broadcast() // for those that waited behind them, if their callers go
	time.AfterFunc(pause+time.Millisecond/10, q.wake)
}

// wake has the lanes look at the queue again.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.more.Broadcast()
}

// settle waits until the outcome of all batches is known whose callers have gone without it: what a reader sees must
// not change later because of them.
func (q *queue) settle(ctx context.Context) error {
	q.mu.Lock()
	settled := q.settled
	q.mu.Unlock()
	if settled == nil {
		return nil
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close accepts no more batches, for which it returns err from now on. With drop, it also answers those that wait.
func (q *queue) close(err error, drop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.err == nil || drop {
		q.err = err
	}
	if drop {
		q.dropped = true
		for _, p := range q.waiting {
			p.taken = true
			p.done <- err
		}
		q.waiting = nil
	}
	q.more.Broadcast()
}
