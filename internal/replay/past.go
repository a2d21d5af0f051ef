package replay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
)

// moment is what an inspection shows of a run after a turn, besides its guest.
type moment struct {
	last    *flawless.Turn
	calls   map[int]flawless.Call         // open ones
	stacks  map[int][]flawless.StackFrame // of the code that made them
	steps   []flawless.Step               // of sagas, open ones
	self    *flawless.Self                // what the guest sees of itself, nil if that is what its start says
	data    []byte
	wake    int64
	own     int
	size    int   // of the memory
	arrived []int // answers that the guest was not given yet
}

// after takes in a turn.
func (o *moment) after(t *flawless.Turn, out guest.Out, p *Player, inst *guest.Instance, kinds map[string]*effect.Kind) {
	if o.calls == nil {
		o.calls, o.stacks = map[int]flawless.Call{}, map[int][]flawless.StackFrame{}
	}
	o.last = t
	for _, n := range t.Answers {
		delete(o.calls, n)
		delete(o.stacks, n)
	}
	for _, c := range t.Calls {
		if k := kinds[c.Kind]; k == nil || !k.Note {
			o.calls[c.N] = c
		}
	}
	for _, s := range out.Stacks {
		if _, open := o.calls[s.N]; open && len(s.Stack) > 0 {
			o.stacks[s.N] = s.Stack
		}
	}
	o.steps = flawless.OpenSteps(o.steps, out.Steps)
	if t.As != nil {
		o.self = t.As
	}
	if t.Data != nil {
		o.data = t.Data
	}
	o.wake, o.own, o.size = out.Wake, -1, inst.Size()
	o.arrived = slices.Sorted(maps.Keys(p.arrived))
}

// measure finds out how much memory the guest has changed, which takes long. It is the guest after the last turn.
func (o *moment) measure(inst *guest.Instance) {
	if o.own < 0 {
		o.own = inst.Own()
	}
}

// clone returns a copy that may be changed.
func (o *moment) clone() moment {
	c := *o
	c.calls, c.stacks = maps.Clone(o.calls), maps.Clone(o.stacks)
	return c
}

// weight is about how many bytes of memory a moment takes.
func (o *moment) weight() (n int) {
	for _, c := range o.calls {
		n += len(c.Head) + len(c.Body) + 256*(1+len(o.stacks[c.N]))
	}
	for _, c := range o.last.Calls {
		n += len(c.Head) + len(c.Body)
	}
	return n + len(o.data) + len(o.last.Data) + 1024
}

func (o *moment) show(out *flawless.Inspection) {
	out.Turn, out.Time, out.Ended, out.Data = o.last.N, o.last.Time, o.last.Ended, o.data
	out.Wake, out.Own, out.Memory, out.Arrived = o.wake, o.own, o.size, o.arrived
	if out.Arrived == nil {
		out.Arrived = []int{}
	}
	out.Pending = []flawless.Call{}
	for _, n := range slices.Sorted(maps.Keys(o.calls)) {
		out.Pending = append(out.Pending, o.calls[n])
		if s := o.stacks[n]; s != nil {
			out.Stacks = append(out.Stacks, flawless.TracedCall{N: n, Stack: s})
		}
	}
}

// frozen is a run after a turn: its guest, and what a player knows of it. It does not change.
type frozen struct {
	moment
	image  []byte
	player Player // without its guest
	weight int
}

// freeze returns the run after the last turn of a player, or nil if its guest cannot be frozen.
func freeze(o *moment, p *Player, inst *guest.Instance) *frozen {
	if o.last.Ended != nil {
		return nil
	}
	image, err := inst.Freeze()
	if err != nil {
		return nil
	}
	f := &frozen{moment: o.clone(), image: image}
	f.player = Player{id: p.id, arrived: maps.Clone(p.arrived), begun: p.begun, last: p.last, report: p.report, at: p.at}
	f.player.Redact = p.Redact
	f.weight = len(image) + f.moment.weight()
	for _, a := range p.arrived {
		f.weight += len(a.Head) + len(a.Body) + 64
	}
	return f
}

// thaw lets a player go on after the turn.
func (f *frozen) thaw(ctx context.Context, m *guest.Module, p *Player) error {
	start := StartOf(f.player.id, f.player.begun)
	start.Steps = f.steps
	if f.self != nil {
		start.Run, start.URL = f.self.Run, f.self.URL
	}
	inst, err := m.Thaw(ctx, start, f.image)
	if err != nil {
		return err
	}
	options := p.Options
	*p = f.player
	p.Options, p.Redact = options, f.player.Redact
	p.inst, p.arrived = inst, maps.Clone(f.player.arrived)
	return nil
}

// rest yields what of the log is behind the turn. The error is errOtherPast if the log has another turn there.
func (f *frozen) rest(log Log) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		at, first := f.player.at, true
		for rec, err := range log(at.record) {
			if first && err == nil && rec.Cut == nil {
				if !f.isThere(rec) {
					err = errOtherPast
				} else { // those behind it keep their places
					rec.Entries = slices.Clone(rec.Entries)
					clear(rec.Entries[:at.entry+1])
				}
			}
			if first = false; !yield(rec, err) || err != nil {
				return
			}
		}
		if first {
			yield(flawless.Record{}, errOtherPast)
		}
	}
}

func (f *frozen) isThere(rec flawless.Record) bool {
	at := f.player.at
	if rec.Seq != at.record || len(rec.Entries) <= at.entry || rec.Entries[at.entry].Turn == nil {
		return false
	}
	t := rec.Entries[at.entry].Turn
	return t.N == f.last.N && t.Time == f.last.Time && t.Cost == f.last.Cost && slices.Equal(t.Answers, f.last.Answers)
}

// pastRun says which guests have the same past: those of a run with the same start and the same code.
type pastRun struct {
	id, digest string
	traced     bool // guests whose calls have stacks, in any language
	start      [sha256.Size]byte
}

func pastRunOf(id string, m *guest.Module, first flawless.Record) pastRun {
	r := pastRun{id: id, digest: m.Digest(), traced: m.Traced()}
	if len(first.Entries) > 0 && first.Entries[0].Start != nil {
		s := first.Entries[0].Start
		r.start = sha256.Sum256(fmt.Appendf(nil, "%x %d %q", s.Seed, s.Time, s.Input))
	}
	return r
}

const (
	maxMoments = 64 // of a run
	// A guest is frozen after each quantum of replay, so that going there again takes about as long.
	freezeEvery = 30 * time.Millisecond
)

// past is what an inspector keeps. When it is above its limit, it drops what was used least recently.
type past struct {
	limit int

	mu     sync.Mutex
	runs   map[pastRun]*moments
	weight int
	used   int64 // grows with each use
}

// moments are the frozen guests of a run.
type moments struct {
	all    []*frozen // by turn
	weight int
	used   int64
	every  time.Duration // between two that are frozen in passing
	last   time.Time     // when one was frozen, or a replay began
}

// find returns the place of the guest after a turn, and whether it is there.
func (k *moments) find(turn int) (at int, has bool) {
	return slices.BinarySearchFunc(k.all, turn, func(f *frozen, turn int) int { return cmp.Compare(f.last.N, turn) })
}

// before returns the last frozen guest that has taken no turn after the given one; 0 is the last turn. It returns nil if there is
// none.
func (x *past) before(r pastRun, turn int) *frozen {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := x.runs[r]
	if k == nil {
		return nil
	}
	x.used++
	k.used, k.last = x.used, time.Now()
	at := len(k.all)
	if turn > 0 {
		at, _ = k.find(turn + 1)
	}
	if at == 0 {
		return nil
	}
	return k.all[at-1]
}

// forget drops all guests of a run.
func (x *past) forget(r pastRun) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drop(r)
}

// drop is forget. The caller holds mu.
func (x *past) drop(r pastRun) {
	if k := x.runs[r]; k != nil {
		x.weight -= k.weight
		delete(x.runs, r)
	}
}

// pass keeps the guest of a replay that goes on, if the last one was kept some time ago.
func (x *past) pass(r pastRun, o *moment, p *Player, inst *guest.Instance) {
	if x.limit == 0 || o.last != p.last {
		return
	}
	x.mu.Lock()
	k := x.of(r)
	due := time.Since(k.last) >= k.every
	x.mu.Unlock()
	if due {
		x.keep(r, o, p, inst)
	}
}

// keep keeps the guest of a replay after a turn.
func (x *past) keep(r pastRun, o *moment, p *Player, inst *guest.Instance) {
	o.measure(inst)
	if x.limit == 0 || o.last != p.last {
		return
	}
	x.mu.Lock()
	_, has := x.of(r).find(o.last.N)
	x.mu.Unlock()
	if has {
		return
	}
	began := time.Now()
	f := freeze(o, p, inst)
	x.mu.Lock()
	defer x.mu.Unlock()
	k := x.of(r)
	k.last = time.Now()
	k.every = max(k.every, 6*k.last.Sub(began)) // freezing takes a seventh of the time
	if f != nil {
		x.put(r, k, f)
	}
}

// of returns the guests of a run. The caller holds mu.
func (x *past) of(r pastRun) *moments {
	if x.runs[r] == nil {
		x.used++
		x.runs[r] = &moments{every: freezeEvery, last: time.Now(), used: x.used}
	}
	return x.runs[r]
}

// put adds a guest, and drops others if there are too many. The caller holds mu.
func (x *past) put(r pastRun, k *moments, f *frozen) {
	at, has := k.find(f.last.N)
	if has {
		return
	}
	k.all = slices.Insert(k.all, at, f)
	x.add(k, f.weight)
	if len(k.all) > maxMoments { // every second one, but neither the new nor the last one
		var rest []*frozen
		for i, g := range k.all {
			if i%2 == 0 || g == f || i == len(k.all)-1 {
				rest = append(rest, g)
			} else {
				x.add(k, -g.weight)
			}
		}
		k.all, k.every = rest, 2*k.every
	}
	for x.weight > x.limit {
		oldest := r
		for other, o := range x.runs {
			if o.used < x.runs[oldest].used {
				oldest = other
			}
		}
		x.drop(oldest)
		if oldest == r {
			return
		}
	}
}

func (x *past) add(k *moments, weight int) {
	k.weight += weight
	x.weight += weight
}
