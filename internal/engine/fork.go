package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/replay"
)

// Fork says how a run goes on from the past of another one.
type Fork struct {
	Turn    int                 // the last turn they share; 0 is the start alone
	ID      string              // of the new run; "" makes one
	Answers []flawless.Decision // answers to calls of the past that were not delivered in it: Call, Status, Body
	Module  []byte              // other code, which must ask for the same in the past; nil is the run's own
	Who     string
}

// Fork starts a run that shares the past of another one up to a turn, and goes on for real. What the
// other one had called and was answered later, this one is answered, too, where the answer tells of the
// world and not of the other run. A call of the past that has no such answer waits for the real one where
// there will be one, is carried out for this run where that harms nobody, or is in doubt: no answer is made
// up. With its first own turn its guest is told its own id. Code that asks for something else in the past is
// *flawless.Divergence, and a run whose log was redacted before it was imported is flawless.Refused.
// With the same id it makes one run, however often it is asked for; flawless.Conflict where a run of another
// kind has it. After a crash in the middle there is the whole run or none.
func (e *Engine) Fork(ctx context.Context, id string, o Fork) (flawless.Run, error) {
	if o.ID == "" {
		o.ID = flawless.NewRunID(e.clockNow())
	}
	if err := flawless.CheckNewID(o.ID); err != nil {
		return flawless.Run{}, err
	}
	if err := e.accepts(); err != nil {
		return flawless.Run{}, err
	}
	e.choosing.RLock()
	defer e.choosing.RUnlock()
	f, err := e.newFork(ctx, id, o)
	if err != nil {
		return flawless.Run{}, fmt.Errorf("forking run %s: %w", id, err)
	}
	defer f.close()
	if !redact.Own(replay.Redacted(f.p.Begun())) {
		return flawless.Run{}, fmt.Errorf("forking run %s: values were taken out of its log before it was imported, and what goes on from there would send others to the outside; fork it with --offline: %w", id, flawless.Refused)
	}
	if o.Module != nil {
		if err := e.store.KeepBinary(ctx, e.lease, f.digest, o.Module); err != nil {
			return flawless.Run{}, err
		}
	}
	f.now = e.now()
	s, entries := f.entries(o.ID)
	run, err := e.keep(ctx, s, entries, true)
	if errors.Is(err, flawless.Conflict) && e.forkedBefore(ctx, f) {
		return e.Run(ctx, o.ID)
	}
	if err != nil {
		return run, err
	}
	if next := s.NextWake(); next != 0 {
		e.clock.add(next, o.ID)
	}
	e.touch(o.ID)
	return e.Run(ctx, o.ID)
}

// forkedBefore tells whether there is a run that was made by the same request.
func (e *Engine) forkedBefore(ctx context.Context, f *fork) bool {
	for rec, err := range e.store.Log(ctx, f.ID, 0) {
		if err != nil || len(rec.Entries) == 0 || rec.Entries[0].Start == nil {
			return false
		}
		s := rec.Entries[0].Start
		if s.Digest != f.digest || s.Origin == nil || s.Origin.Of != f.id || s.Origin.Turn != f.Turn {
			return false
		}
		given := map[int]flawless.Answer{}
		for _, x := range rec.Entries {
			if x.Arrival != nil && strings.HasPrefix(x.Arrival.Note, givenBy) {
				given[x.Arrival.Call] = x.Arrival.Answer
			}
		}
		return maps.EqualFunc(given, f.given, func(a, b flawless.Answer) bool { return bytes.Equal(a.Head, b.Head) && bytes.Equal(a.Body, b.Body) })
	}
	return false
}

// givenBy begins the note of an answer that was given in a fork.
const givenBy = "answer given in a fork by "

// fork is a past that something goes on from.
type fork struct {
	Fork
	e      *Engine
	ctx    context.Context // of the request
	now    int64           // when the new run begins; 0 is as in the log
	id     string
	log    []flawless.Record
	digest string
	p      *replay.Player           // after the last turn of the past
	later  map[int]flawless.Arrival // that came after the past, to calls of it
	child  map[int]string           // that stands for a child of the other run, by call
	given  map[int]flawless.Answer  // that somebody edited
	off    map[int]flawless.Answer  // of calls that the log has as withdrawn, which is not so before the code does it
	done   func()
}

func (f *fork) close() {
	f.p.Release()
	f.done()
}

// newFork replays the past.
func (e *Engine) newFork(ctx context.Context, id string, o Fork) (_ *fork, err error) {
	if o.Turn < 0 {
		return nil, fmt.Errorf("there is no turn %d: %w", o.Turn, flawless.Invalid)
	}
	run, err := e.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	f := &fork{Fork: o, e: e, ctx: ctx, id: id, later: map[int]flawless.Arrival{}, child: map[int]string{}, given: map[int]flawless.Answer{}, off: map[int]flawless.Answer{}}
	if f.log, err = e.Log(ctx, id, 0, 0); err != nil {
		return nil, fmt.Errorf("its log was cut or is damaged, and what happened before cannot be told: %w", err)
	}
	m, done, err := e.borrow(ctx, run.Digest, o.Module)
	if err != nil {
		return nil, err
	}
	f.done, f.digest = done, m.Digest()
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	until := o.Turn
	if until == 0 {
		until = -1
	}
	f.p = replay.NewPlayer(id, replay.Options{Until: until})
	if err = f.p.Start(ctx, m, replay.Records(f.log)); err != nil {
		return nil, err
	}
	if o.Module != nil { // code of before turn 1 has not read the input yet
		if err = readsInput(m, f.p.Begun()); err != nil {
			return nil, err
		}
	}
	switch {
	case f.p.Report().Divergence != nil:
		return nil, f.p.Report().Divergence
	case f.p.Report().Turns < o.Turn:
		return nil, fmt.Errorf("it has no turn %d, it has %d: %w", o.Turn, f.p.Report().Turns, flawless.NotFound)
	case f.p.Last() != nil && f.p.Last().Ended != nil:
		return nil, fmt.Errorf("turn %d is its end, nothing can go on from there; fork at turn %d or before: %w", o.Turn, o.Turn-1, flawless.Invalid)
	}
	return f, f.answers()
}

// answers finds those that came later, and takes those that were given.
func (f *fork) answers() error {
	for _, rec := range f.log {
		for _, x := range rec.Entries {
			if x.Adopted != nil {
				f.child[x.Adopted.Call] = x.Adopted.Run
			}
			if x.Arrival == nil {
				continue
			}
			c, waits := f.p.Waits()[x.Arrival.Call]
			switch {
			case !waits:
			case c.Kind == effect.HTTP && effect.IsWithdrawn(x.Arrival.Answer): // this one has not withdrawn it yet
				f.off[x.Arrival.Call] = x.Arrival.Answer
			case f.holds(c, *x.Arrival):
				f.later[x.Arrival.Call] = *x.Arrival
			}
		}
	}
	for _, d := range f.Answers {
		c, waits := f.p.Waits()[d.Call]
		k := f.e.kinds[c.Kind]
		switch {
		case waits && (takesHold(c) || k != nil && k.Idle):
			return fmt.Errorf("call %d, of kind %s, cannot be given an answer: the fork asks for the state itself, and is cancelled where somebody does that: %w", d.Call, c.Kind, flawless.Invalid)
		case !waits:
			return fmt.Errorf("call %d cannot be given another answer: up to turn %d it was not made, or its answer was delivered already; fork at an earlier turn: %w", d.Call, f.Turn, flawless.Invalid)
		case c.Kind == effect.HTTP:
			a, err := effect.ResponseAnswer(d.Call, d.Status, d.Body)
			if err != nil {
				return fmt.Errorf("the answer of call %d: %w", d.Call, err)
			}
			f.given[d.Call] = a
		default:
			if err := core.CheckAnswer(c, d.Body); err != nil {
				return err
			}
			f.given[d.Call] = flawless.Answer{Call: d.Call, Head: []byte("{}"), Body: d.Body}
		}
	}
	return nil
}

// entries returns the log of the new run, and its state after that.
func (f *fork) entries(id string) (*core.State, []flawless.Entry) {
	s := core.NewState(id, f.e.kinds)
	var out []flawless.Entry
	take := func(x flawless.Entry) {
		s.Step(x)
		out = append(out, x)
	}
	for _, x := range f.past() {
		switch {
		case x.Start != nil:
			start := *x.Start
			start.Digest, start.Origin = f.digest, origin(f.id, start.Origin, f.Turn)
			if f.now != 0 { // else a fork of a run that missed its deadline would be cancelled at once
				start.Deadline = start.DeadlineFrom(f.now)
			}
			x.Start = &start
		case x.Arrival != nil && f.replaced(*x.Arrival):
			continue
		case x.Upgrade != nil:
			continue // its code is that of the start
		case x.Pause != nil, x.Cancel != nil && !f.saw(effect.Cancelled):
			continue // nobody asked this one
		}
		take(x)
	}
	for _, c := range s.OpenCalls() {
		if a, ok := f.given[c.N]; ok {
			take(s.ArrivalEntry(a, nil, givenBy+core.Who(f.Who)))
		} else if a, ok := f.later[c.N]; ok {
			arrival := s.ArrivalEntry(a.Answer, nil, "answered in run "+f.id)
			arrival.Arrival.Message, arrival.Arrival.Reached = a.Message, a.Reached
			take(arrival)
		} else if c.Bad() == nil && c.Doubt() == "" && !s.IsWithdrawing(c.N) {
			for _, x := range f.open(s, c) {
				take(x)
			}
		}
	}
	for _, x := range s.Consequences() {
		take(x)
	}
	return s, out
}

// open returns what becomes of a call that nobody has answered.
func (f *fork) open(s *core.State, c *core.OpenCall) []flawless.Entry {
	doubt := func(format string, args ...any) []flawless.Entry {
		return []flawless.Entry{s.UnknownEntry(c.N, fmt.Sprintf(format, args...))}
	}
	const made = "run %s, which this one was forked from, made the call, and no outcome of it is known"
	ended := func(r flawless.Run) []flawless.Entry {
		a := effect.EndAnswer(r)
		a.Call = c.N
		return []flawless.Entry{s.ArrivalEntry(a, nil, "the end of run "+r.ID)}
	}
	switch c.Kind {
	case effect.Spawn:
		id := cmp.Or(f.child[c.N], ChildID(f.id, c.N))
		child, err := f.e.Run(f.ctx, id)
		h, _ := effect.ParseSpawn(c.Call) // it was understood before
		switch {
		case err != nil || child.Parent == "" || child.Parent != id[:max(0, strings.LastIndexByte(id, '.'))]:
			return doubt(made+"; run %s, which it was to start, is not here: resolve with --retry to start a child of this run, with --response to say what it returned", f.id, id)
		case child.Status.Ended() && !h.Detached:
			return ended(child)
		}
		return []flawless.Entry{s.AdoptEntry(c.N, id)}
	case effect.Await:
		h, _ := effect.ParseAwait(c.Call)
		if h.Run == s.Self().Run {
			return nil // it means itself
		}
		switch other, err := f.e.Run(f.ctx, h.Run); {
		case err != nil:
			return doubt("run %s, which this one was forked from, waited for the end of run %s, which is not here: resolve with --response to say what it returned, with --retry when it is here", f.id, h.Run)
		case other.Status.Ended():
			return ended(other)
		}
		return nil
	}
	if c.Kind == effect.Read {
		return []flawless.Entry{s.ArrivalEntry(effect.GoneAnswer(c.Call, f.id), nil, "")}
	}
	if c.Effect().Perform != nil || c.Kind == effect.Send {
		return doubt(made, f.id)
	}
	return nil
}

// holds tells whether an answer of the other run holds for the fork, too: it tells of the world. What tells
// that the other run had ended, had given up or held a state does not.
func (f *fork) holds(c flawless.Call, a flawless.Arrival) bool {
	k := f.e.kinds[c.Kind]
	if k != nil && k.Idle || takesHold(c) {
		return false
	}
	var h struct{ Error *struct{ Kind string } }
	_ = json.Unmarshal(a.Head, &h) // the engine wrote it
	if h.Error != nil {
		return !slices.Contains([]string{"ended", "withdrawn", "deadlock", "imported"}, h.Error.Kind)
	}
	spawn, err := effect.ParseSpawn(c)
	// A run that has ended hears that its child was started. The end of one always has an output.
	return c.Kind != effect.Spawn || err != nil || spawn.Detached || len(a.Body) > 0
}

// replaced tells whether an answer of the past that was not delivered in it has no place in the fork:
// another one was given, or it does not hold there.
func (f *fork) replaced(a flawless.Arrival) bool {
	c, waits := f.p.Waits()[a.Call]
	return waits && (f.given[a.Call].Head != nil || !f.holds(c, a))
}

// saw tells whether a call of a kind was made in the past, and the answer delivered.
func (f *fork) saw(kind string) bool {
	for _, c := range f.p.Waits() {
		if c.Kind == kind {
			return false
		}
	}
	return true
}

// takesHold tells whether the answer of a call is that its run holds a state.
func takesHold(c flawless.Call) bool {
	h, err := effect.ParseState(c)
	return c.Kind == effect.State && err == nil && h.Op == effect.StateLock
}

// ownSelf returns what a guest is to be told in its next turn: the guest of a fork knows itself as
// another run until then. It is nil for all others. The caller holds mu.
func (r *run) ownSelf() *flawless.Self {
	if r.s.Self().Run == r.id {
		return nil
	}
	return &flawless.Self{Run: r.id, URL: r.e.url}
}

// inherited returns the value that the run was told with a hold which is not its own: it is of the
// past that it shares with another run.
func (e *Engine) inherited(r *run, lock int) (value []byte, found bool, err error) {
	r.mu.Lock()
	origin := r.s.Start().Origin
	r.mu.Unlock()
	if origin == nil {
		return nil, false, nil
	}
	for rec, err := range e.store.Log(e.performCtx, r.id, 0) {
		if err != nil {
			return nil, false, err
		}
		for _, x := range rec.Entries { // the first record is all of the past
			if x.Arrival != nil && x.Arrival.Call == lock {
				return x.Arrival.Body, true, nil
			}
		}
		break
	}
	return nil, false, nil
}

// past returns the entries up to the last turn that is shared.
func (f *fork) past() (out []flawless.Entry) {
	for _, rec := range f.log {
		for _, x := range rec.Entries {
			if f.Turn == 0 && x.Start == nil || x.Turn != nil && x.Turn.N > f.Turn || x.End != nil {
				return out
			}
			out = append(out, x)
			if x.Turn != nil && x.Turn.N == f.Turn {
				return out
			}
		}
	}
	return out
}

// mostOffline is how many turns a run takes at most with the world closed.
const mostOffline = 10_000

// Offline lets a run go on from a turn of its past with the world closed, and touches nothing: calls
// that its log has are answered from there, timers and sleeps pass at once, and the first other call
// stops it.
func (e *Engine) Offline(ctx context.Context, id string, o Fork) (flawless.Offline, error) {
	f, err := e.newFork(ctx, id, o)
	if err != nil {
		return flawless.Offline{}, fmt.Errorf("forking run %s: %w", id, err)
	}
	defer f.close()
	s, _ := f.entries(id)
	out := flawless.Offline{Run: id, Turn: o.Turn, Digest: f.digest, Turns: []flawless.Turn{}, Would: []flawless.Call{}}
	return out, f.goOn(ctx, s, &out)
}

// goOn takes turns until something stops it.
func (f *fork) goOn(ctx context.Context, s *core.State, out *flawless.Offline) error {
	known := f.logged()
	for n := range f.off {
		s.DropDoubt(n)
	}
	now := s.At()
	for len(out.Turns) < mostOffline {
		for _, x := range s.Fire(now) {
			s.Step(x)
		}
		if s.Turns() > 0 && len(s.Ready()) == 0 && (s.Wake() == 0 || s.Wake() > now) {
			if now = s.NextWake(); now != 0 {
				continue
			}
			for _, c := range s.OpenCalls() {
				if c.Effect() == nil || !c.Effect().Idle {
					out.Waits = append(out.Waits, c.Call)
				}
			}
			if len(out.Waits) == 0 {
				out.Failure = "it waits for nothing: no call, timer or message can ever wake it"
			}
			return nil
		}
		now = max(now, s.At())
		in := guest.In{Time: now, Answers: slices.Clone(s.Ready())}
		got, err := f.p.Guest().Turn(ctx, in)
		if err != nil {
			return err
		}
		t := flawless.Turn{N: s.Turns() + 1, Time: in.Time, Calls: got.Calls, Lines: got.Lines, Data: got.Data, Wake: got.Wake, Ended: got.Ended, Cost: got.Cost, Steps: got.Steps}
		for _, a := range in.Answers {
			t.Answers = append(t.Answers, a.Call)
		}
		out.Turns = append(out.Turns, t)
		s.Step(s.TurnEntry(&t, now))
		for _, x := range s.WithdrawnEntries() {
			s.Step(x)
		}
		if out.Ended = t.Ended; t.Ended != nil {
			return nil
		}
		for _, c := range t.Calls {
			k := s.Call(c.N)
			a, at, ok := known.take(c)
			switch {
			case c.Kind == effect.Withdraw:
				if w, err := effect.ParseWithdraw(c); err == nil && s.Call(w.Call) != nil && f.off[w.Call].Head != nil {
					s.Step(s.ArrivalEntry(f.off[w.Call], nil, ""))
				}
			case k == nil: // a note, or withdrawn already
			case ok && effect.IsWithdrawn(a) && k.Effect() != nil && k.Effect().Perform != nil:
				f.off[c.N] = a
			case ok:
				now = max(now, at)
				s.Step(s.ArrivalEntry(a, nil, ""))
			case k != nil && k.Bad() != nil:
				s.Step(s.ArrivalEntry(effect.ErrorAnswer(c.N, "invalid", k.Bad().Error()), nil, ""))
			case k != nil && k.Effect().Perform != nil, k != nil && k.Effect().Due == nil && !k.Effect().Idle:
				out.Would = append(out.Would, c)
			}
		}
		if len(out.Would) > 0 {
			return nil
		}
	}
	out.Failure = fmt.Sprintf("it was stopped after %d turns", mostOffline)
	return nil
}

// logged are the calls of a log behind the past, with their answers.
type logged struct{ all []loggedCall }

type loggedCall struct {
	call   flawless.Call
	answer flawless.Answer
	at     int64
	there  bool // the answer
}

func (f *fork) logged() *logged {
	l := &logged{}
	for _, rec := range f.log {
		for _, x := range rec.Entries {
			switch {
			case x.Turn != nil && x.Turn.N > f.Turn:
				for _, c := range x.Turn.Calls {
					l.all = append(l.all, loggedCall{call: c})
				}
			case x.Arrival != nil:
				for i := range l.all {
					if c := l.all[i].call; c.N == x.Arrival.Call && (takesHold(c) || effect.IsWithdrawn(x.Arrival.Answer) || f.holds(c, *x.Arrival)) {
						l.all[i].answer, l.all[i].at, l.all[i].there = x.Arrival.Answer, x.At, true
					}
				}
			}
		}
	}
	return l
}

// take returns the answer that the log has for a call, once.
func (l *logged) take(c flawless.Call) (flawless.Answer, int64, bool) {
	for i, k := range l.all {
		if k.there && k.call.Same(c) {
			l.all = slices.Delete(l.all, i, i+1)
			k.answer.Call = c.N
			return k.answer, k.at, true
		}
	}
	return flawless.Answer{}, 0, false
}
