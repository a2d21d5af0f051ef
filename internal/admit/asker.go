package admit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// AskerOptions configures an Asker. Cap, Wake and Parked are those of Options.
type AskerOptions struct {
	Self    string // names this server
	Cap     func(module string) int
	Wake    func(run string)
	Parked  func(run string)
	Ask     func(ctx context.Context, r Request) (Answer, error) // asks the owner of the caps
	Context context.Context                                      // ends with the engine
	Go      func(f func())
}

// Asker decides which runs of this server may begin, as one of several on a database: it asks the owner of the caps. Runs
// that have no cap begin without. All methods may be called concurrently.
type Asker struct {
	o AskerOptions

	mu      sync.Mutex // guards the fields below
	granted map[string]bool
	waiting map[string]Run
	fresh   []string // of those, the ones that the owner does not know
	left    []string // ended runs that the owner does not know
	look    map[string]Ahead
	term    uint64 // of the owner that knows which runs wait; 0 is none
	telling bool   // a goroutine tells the owner
	polling bool   // a goroutine waits for grants
}

// NewAsker returns an Asker without runs.
func NewAsker(o AskerOptions) *Asker {
	return &Asker{o: o, granted: map[string]bool{}, waiting: map[string]Run{}, look: map[string]Ahead{}}
}

// Load asks for the runs of shards that wait to begin, those with a key and those of modules that have a cap. Wake may be
// called for them at once.
func (a *Asker) Load(ctx context.Context, s Store, modules []string, shards []store.Shard) error {
	ask := func(r flawless.Run) {
		if !begun(r) {
			waits := RunOf(r)
			waits.Stored = true
			a.Admits(waits)
		}
	}
	for id, err := range s.Placed(ctx, shards) {
		if err != nil {
			return err
		}
		h, err := s.Head(ctx, id)
		if err != nil {
			return err
		}
		ask(h.Run)
	}
	for _, module := range modules {
		for f := (flawless.Filter{Module: module, Status: []flawless.Status{flawless.Pending, flawless.Paused}, Limit: 1000}); ; {
			runs, next, err := s.Runs(ctx, f)
			if err != nil {
				return err
			}
			for _, r := range runs {
				if slices.Contains(shards, store.ShardOf(r.ID)) {
					ask(r)
				}
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
	}
	return nil
}

// Admits reports whether a run that has not begun may take its first turn. If not, Wake is called when it may, or it is
// asked again when the run is stored.
func (a *Asker) Admits(r Run) bool {
	if r.Queue.Key == "" && a.o.Cap(r.Module) == 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.granted[r.ID] {
		return true
	}
	if _, waits := a.waiting[r.ID]; waits || !r.Stored { // the owner looks for it in the store
		return false
	}
	a.waiting[r.ID] = r
	a.fresh = append(a.fresh, r.ID)
	a.tellLocked()
	return false
}

// Leave tells the owner that a run has ended.
func (a *Asker) Leave(r Run) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, waits := a.waiting[r.ID]
	if !waits && !a.granted[r.ID] && r.Queue.Key == "" && a.o.Cap(r.Module) == 0 {
		return
	}
	a.forget(r.ID)
	a.left = append(a.left, r.ID)
	a.tellLocked()
}

// LeaveEnded does nothing: only runs that are stored ask.
func (a *Asker) LeaveEnded(context.Context, string) error { return nil }

// Abandon forgets runs that another server has from now on, and asks for it there.
func (a *Asker) Abandon(gone func(run string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.waiting {
		if gone(id) {
			a.forget(id)
		}
	}
	for id := range a.granted {
		if gone(id) {
			a.forget(id)
		}
	}
}

func (a *Asker) forget(id string) {
	delete(a.waiting, id)
	delete(a.granted, id)
	delete(a.look, id)
}

// Blockers returns the runs that prevent a run from beginning, see [Control.Blockers], as the owner has told lately.
// The first time it knows none, and calls Parked when it does.
func (a *Asker) Blockers(id string) (runs []string, by string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, waits := a.waiting[id]; !waits {
		return nil, ""
	}
	ahead, asked := a.look[id]
	if !asked {
		a.look[id] = Ahead{}
		a.tellLocked()
	}
	return ahead.Runs, ahead.By
}

// Renew asks again about all runs that wait: the owner may be another one.
func (a *Asker) Renew() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.term = 0
	if len(a.waiting) > 0 {
		a.tellLocked()
	}
}

// Empty reports whether nothing is left of any run. Tests use it to find leaks.
func (a *Asker) Empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.granted)+len(a.waiting)+len(a.look) == 0
}

// Count returns the number of admitted and waiting runs.
func (a *Asker) Count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.granted) + len(a.waiting)
}

// tellLocked makes sure that the owner is told what it does not know, and asked for grants. The caller holds mu.
func (a *Asker) tellLocked() {
	if !a.telling {
		a.telling = true
		a.o.Go(a.tell)
	}
	if !a.polling && len(a.waiting) > 0 {
		a.polling = true
		a.o.Go(a.poll)
	}
}

// tell tells the owner of runs that wait or have ended.
func (a *Asker) tell() {
	for {
		a.mu.Lock()
		in := Request{From: a.o.Self, All: a.term == 0, Left: a.left}
		ids := a.fresh
		if in.All {
			ids = slices.Sorted(maps.Keys(a.waiting))
		}
		for _, id := range ids {
			if r, waits := a.waiting[id]; waits {
				in.Ask = append(in.Ask, r)
			}
		}
		for id, ahead := range a.look {
			if ahead.By == "" {
				in.Look = append(in.Look, id)
			}
		}
		if len(in.Ask)+len(in.Left) == 0 && (len(in.Look) == 0 || len(a.waiting) == 0) || a.o.Context.Err() != nil {
			a.telling = false
			a.mu.Unlock()
			return
		}
		a.fresh, a.left = nil, nil
		a.mu.Unlock()
		out, err := a.ask(in)
		a.mu.Lock()
		if err != nil {
			a.left = append(in.Left, a.left...)
		} else {
			a.term = cmp.Or(out.Term, 1)
		}
		done := err == nil && len(a.fresh)+len(a.left) == 0 && a.term != 0
		if done {
			a.telling = false
		}
		a.mu.Unlock()
		if done {
			return
		}
		if err != nil && !a.pause() {
			continue
		}
	}
}

// poll waits for grants while runs wait.
func (a *Asker) poll() {
	for {
		a.mu.Lock()
		if len(a.waiting) == 0 || a.o.Context.Err() != nil {
			a.polling = false
			a.mu.Unlock()
			return
		}
		in := Request{From: a.o.Self, Wait: true, Look: slices.Sorted(maps.Keys(a.look))}
		term := a.term
		a.mu.Unlock()
		if term == 0 { // it is being told of them
			a.pause()
			a.mu.Lock()
			a.tellLocked()
			a.mu.Unlock()
			continue
		}
		out, err := a.ask(in)
		if err != nil || !out.Known || out.Term != term {
			a.Renew()
		}
		if err != nil {
			a.pause()
		}
	}
}

// ask asks the owner, and notes what it says.
func (a *Asker) ask(in Request) (Answer, error) {
	ctx, stop := context.WithTimeout(a.o.Context, 2*Again)
	defer stop()
	out, err := a.o.Ask(ctx, in)
	if err != nil {
		a.mu.Lock()
		a.term = 0
		a.mu.Unlock()
		return out, err
	}
	var wake, parked []string
	a.mu.Lock()
	for _, id := range out.Granted {
		if _, waits := a.waiting[id]; waits {
			a.forget(id)
			a.granted[id] = true
			wake = append(wake, id)
		}
	}
	for _, id := range in.Look {
		before, looks := a.look[id]
		after := out.Ahead[id]
		if looks && (before.By != after.By || !slices.Equal(before.Runs, after.Runs)) {
			if a.look[id] = after; after.By != "" {
				parked = append(parked, id)
			}
		}
	}
	a.mu.Unlock()
	for _, id := range wake {
		a.o.Wake(id)
	}
	for _, id := range parked {
		a.o.Parked(id)
	}
	return out, nil
}

// pause waits a moment after an error. It returns false if the engine has ended.
func (a *Asker) pause() bool {
	wait := time.NewTimer(200 * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-a.o.Context.Done():
		return false
	}
}
