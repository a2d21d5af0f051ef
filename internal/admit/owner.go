package admit

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/task"
)

// Again is how long a server waits for an answer about the runs that wait, and how often the owner of the caps looks whether
// admitted runs have ended.
const Again = 5 * time.Second

// Request is what a server asks the owner of the caps.
type Request struct {
	From string
	All  bool     // Ask has all runs of the server that wait; otherwise it adds to those
	Ask  []Run    // may these begin?
	Left []string // runs that have ended
	Wait bool     // the answer may take until one of the runs that wait may begin
	Look []string // what keeps these from beginning?
}

// Answer is the owner's answer to a Request.
type Answer struct {
	Term    uint64           // differs from owner to owner: a new one does not know which runs wait
	Known   bool             // the owner knows the server
	Granted []string         // runs that may begin
	Ahead   map[string]Ahead // for those in Look that wait
}

// Ahead is what keeps a run from beginning, see [Control.Blockers].
type Ahead struct {
	Runs []string
	By   string
}

// OwnerOptions configures an Owner.
type OwnerOptions struct {
	Control Options // without Wake and Owns
	Term    uint64
	// Grants yields the runs that were admitted before. Put and Drop record it; Put returns when that is durable.
	Grants    func(ctx context.Context) iter.Seq2[string, error]
	Put, Drop func(ctx context.Context, runs ...string) error
	Context   context.Context // ends when it is not the owner any more
	Go        func(f func())
	Log       *slog.Logger
}

// Owner admits the runs of all servers on a database. A grant is recorded before anybody is told of it, and forgotten after
// the run has ended, so the next owner counts it, too.
type Owner struct {
	*Control
	o OwnerOptions

	mu      sync.Mutex // guards the fields below; taken after that of the Control
	durable map[string]bool
	pending []string // to be recorded
	writing bool
	dropped []string          // to be forgotten
	askers  map[string]*asker // by server
	wanted  map[string]*asker // by run that waits or is being recorded
	retrack map[string]int    // how often to read the runs of a module again
}

// asker is a server whose runs wait.
type asker struct {
	granted []string
	kick    chan struct{}
}

// NewOwner reads which runs of some shards, those of all servers, were admitted, and which wait.
func NewOwner(ctx context.Context, o OwnerOptions, shards []store.Shard) (*Owner, error) {
	w := &Owner{o: o, durable: map[string]bool{}, askers: map[string]*asker{}, wanted: map[string]*asker{}, retrack: map[string]int{}}
	o.Control.Wake = w.record
	o.Control.Owns = always
	w.Control = New(o.Control)
	for id, err := range o.Grants(ctx) {
		if err != nil {
			return nil, err
		}
		h, err := o.Control.Store.Head(ctx, id)
		switch {
		case errors.Is(err, flawless.NotFound) || err == nil && h.Run.Status.Ended():
			w.dropped = append(w.dropped, id)
			continue
		case err != nil:
			return nil, err
		}
		w.durable[id] = true
		w.restore(RunOf(h.Run))
	}
	if err := w.Load(ctx, shards); err != nil {
		return nil, err
	}
	return w, nil
}

// RunOf describes a run as admission sees it.
func RunOf(r flawless.Run) Run {
	a := Run{ID: r.ID, Parent: r.Parent, Module: r.Module, Created: r.Created.UnixNano()}
	if r.Queue != nil {
		a.Queue = *r.Queue
	}
	return a
}

// restore counts a run that was admitted before.
func (c *Control) restore(r Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &entrant{id: r.ID, parent: r.Parent, module: r.Module, queue: r.Queue, created: r.Created}
	c.admit(w)
}

// record has a grant recorded. It may be called under the lock of the Control.
func (w *Owner) record(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.durable[id] || slices.Contains(w.pending, id) {
		return
	}
	w.pending = append(w.pending, id)
	w.writeLocked()
}

// writeLocked has records written. The caller holds mu.
func (w *Owner) writeLocked() {
	if w.writing {
		return
	}
	w.writing = true
	w.o.Go(w.write)
}

// write records grants and forgets others, until there is nothing to write or it is not the owner any more.
func (w *Owner) write() {
	for {
		w.mu.Lock()
		put, drop := w.pending, w.dropped
		w.dropped = nil
		if len(put)+len(drop) == 0 || w.o.Context.Err() != nil {
			w.writing = false
			w.mu.Unlock()
			return
		}
		put = slices.Clone(put[:min(len(put), 100)])
		w.mu.Unlock()
		var err error
		if len(put) > 0 {
			err = w.o.Put(w.o.Context, put...)
		}
		if len(drop) > 0 {
			err = errors.Join(err, w.o.Drop(w.o.Context, drop...)) // if it fails, the next owner finds them
		}
		w.mu.Lock()
		if err == nil {
			w.pending = w.pending[len(put):]
			for _, id := range put {
				w.durable[id] = true
				if a := w.wanted[id]; a != nil {
					delete(w.wanted, id)
					a.granted = append(a.granted, id)
					task.Poke(a.kick)
				}
			}
		}
		w.mu.Unlock()
		if err == nil || w.o.Context.Err() != nil {
			continue
		}
		w.o.Log.Warn("recording which runs are admitted failed, they wait", "error", err)
		wait := time.NewTimer(time.Second)
		select {
		case <-wait.C:
		case <-w.o.Context.Done():
		}
		wait.Stop()
	}
}

// Serve answers a request.
func (w *Owner) Serve(ctx context.Context, in Request) (Answer, error) {
	for _, id := range in.Left {
		w.Leave(id)
	}
	w.mu.Lock()
	a := w.askers[in.From]
	out := Answer{Term: w.o.Term, Known: a != nil || in.All}
	if a == nil {
		a = &asker{kick: make(chan struct{}, 1)}
		w.askers[in.From] = a
	}
	for _, r := range in.Ask {
		w.wanted[r.ID] = a
	}
	w.mu.Unlock()
	for _, r := range in.Ask {
		if w.Admits(r) {
			w.record(r.ID)
		}
		w.mu.Lock()
		if w.durable[r.ID] {
			delete(w.wanted, r.ID)
			out.Granted = append(out.Granted, r.ID)
		}
		w.mu.Unlock()
	}
	if in.Wait && out.Known {
		wait := time.NewTimer(Again)
		defer wait.Stop()
		select {
		case <-a.kick:
		case <-wait.C:
		case <-ctx.Done():
		case <-w.o.Context.Done():
			return out, w.o.Context.Err()
		}
	}
	w.mu.Lock()
	out.Granted = append(out.Granted, a.granted...)
	a.granted = nil
	w.mu.Unlock()
	for _, id := range in.Look {
		if runs, by := w.Blockers(id); len(runs) > 0 {
			if out.Ahead == nil {
				out.Ahead = map[string]Ahead{}
			}
			out.Ahead[id] = Ahead{runs, by}
		}
	}
	return out, nil
}

// Leave removes an ended run and admits others in its place.
func (w *Owner) Leave(id string) {
	w.Control.Leave(Run{ID: id})
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wanted, id)
	w.pending = slices.DeleteFunc(w.pending, func(p string) bool { return p == id && !w.writing })
	if w.durable[id] {
		delete(w.durable, id)
		w.dropped = append(w.dropped, id)
		w.writeLocked()
	}
}

// Track adds the open runs of a module that has just received a cap. It does so again a little later: other servers may
// begin runs until they know of the cap.
func (w *Owner) Track(ctx context.Context, module string) error {
	w.mu.Lock()
	w.retrack[module] = 3
	w.mu.Unlock()
	return w.Control.Track(ctx, module)
}

// Watch looks every few seconds whether admitted runs have ended, because a server may not have been able to tell, until it
// is not the owner any more.
func (w *Owner) Watch() {
	for {
		wait := time.NewTimer(Again)
		select {
		case <-wait.C:
		case <-w.o.Context.Done():
			wait.Stop()
			return
		}
		for _, id := range w.admittedRuns() {
			h, err := w.o.Control.Store.Head(w.o.Context, id)
			if errors.Is(err, flawless.NotFound) || err == nil && h.Run.Status.Ended() {
				w.Leave(id)
			}
		}
		w.mu.Lock()
		var modules []string
		for module, n := range w.retrack {
			if modules = append(modules, module); n == 1 {
				delete(w.retrack, module)
			} else {
				w.retrack[module] = n - 1
			}
		}
		w.mu.Unlock()
		for _, module := range modules {
			if err := w.Control.Track(w.o.Context, module); err != nil && w.o.Context.Err() == nil {
				w.o.Log.Warn("reading the runs of a module with a cap failed", "module", module, "error", err)
			}
		}
	}
}

// admittedRuns returns the ids of the runs that are admitted.
func (c *Control) admittedRuns() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.admitted {
		ids = append(ids, id)
	}
	return ids
}
