package fork

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
)

// Options says how to continue from the past of a run.
type Options struct {
	Turn    int                 // last turn of the past; 0 is only the start
	Answers []flawless.Decision // replacements for answers that the past has not delivered: Call, Status, Body
	Who     string              // who gave the answers
	Kinds   map[string]*effect.Kind
	// Runs returns a run that the past waits for, or flawless.NotFound.
	Runs func(ctx context.Context, id string) (flawless.Run, error)
	// Terms returns what the operator and the module declare for the calls of a run.
	Terms func(*core.State) func(*core.OpenCall) core.Terms
}

// Past is the shared past of a run and its forks.
type Past struct {
	o      Options
	run    string
	log    []flawless.Record
	digest string
	player *replay.Player           // after the last turn of the past
	later  map[int]flawless.Arrival // answers to calls of the past that came later
	child  map[int]string           // run that stands for a child of the original, by call
	given  map[int]flawless.Answer  // answers given by the caller
	off    map[int]flawless.Answer  // answers of calls that the log has as withdrawn, but the past has not withdrawn yet
}

// New replays the past of a run with a module. The caller must call Release. It returns a *flawless.Divergence if the
// code asks for something else.
func New(ctx context.Context, m *guest.Module, run string, log []flawless.Record, o Options) (_ *Past, err error) {
	if o.Turn < 0 {
		return nil, fmt.Errorf("there is no turn %d: %w", o.Turn, flawless.Invalid)
	}
	p := &Past{o: o, run: run, log: log, digest: m.Digest(), later: map[int]flawless.Arrival{}, child: map[int]string{}, given: map[int]flawless.Answer{}, off: map[int]flawless.Answer{}}
	until := o.Turn
	if until == 0 {
		until = -1
	}
	p.player = replay.NewPlayer(run, replay.Options{Until: until})
	defer func() {
		if err != nil {
			p.Release()
		}
	}()
	if err := p.player.Start(ctx, m, replay.Records(log)); err != nil {
		return nil, err
	}
	switch report, last := p.player.Report(), p.player.Last(); {
	case report.Divergence != nil:
		return nil, report.Divergence
	case report.Turns < o.Turn:
		return nil, fmt.Errorf("it has no turn %d, it has %d: %w", o.Turn, report.Turns, flawless.NotFound)
	case last != nil && last.Ended != nil:
		return nil, fmt.Errorf("turn %d is the end of the run; fork at turn %d or before: %w", o.Turn, o.Turn-1, flawless.Invalid)
	}
	return p, p.answers()
}

// Release releases the guest.
func (p *Past) Release() { p.player.Release() }

// Begun returns the start of the run.
func (p *Past) Begun() flawless.Start { return p.player.Begun() }

// Digest returns the code that replayed the past.
func (p *Past) Digest() string { return p.digest }

// givenBy is the beginning of the note on an answer given in a fork.
const givenBy = "answer given in a fork by "

// Made reports whether the first record of a log belongs to a fork made by the same request.
func (p *Past) Made(first flawless.Record) bool {
	if len(first.Entries) == 0 || first.Entries[0].Start == nil {
		return false
	}
	s := first.Entries[0].Start
	if s.Digest != p.digest || s.Origin == nil || s.Origin.Of != p.run || s.Origin.Turn != p.o.Turn {
		return false
	}
	given := map[int]flawless.Answer{}
	for _, x := range first.Entries {
		if x.Arrival != nil && strings.HasPrefix(x.Arrival.Note, givenBy) {
			given[x.Arrival.Call] = x.Arrival.Answer
		}
	}
	return maps.EqualFunc(given, p.given, func(a, b flawless.Answer) bool { return bytes.Equal(a.Head, b.Head) && bytes.Equal(a.Body, b.Body) })
}

// answers collects the answers that came later and validates the given ones.
func (p *Past) answers() error {
	for _, rec := range p.log {
		for _, x := range rec.Entries {
			if x.Adopted != nil {
				p.child[x.Adopted.Call] = x.Adopted.Run
			}
			if x.Arrival == nil {
				continue
			}
			c, waits := p.player.Waits()[x.Arrival.Call]
			switch {
			case !waits:
			case c.Kind == effect.HTTP && effect.IsWithdrawn(x.Arrival.Answer): // the past has not withdrawn it yet
				p.off[x.Arrival.Call] = x.Arrival.Answer
			case p.holds(c, *x.Arrival):
				p.later[x.Arrival.Call] = *x.Arrival
			}
		}
	}
	for _, d := range p.o.Answers {
		c, waits := p.player.Waits()[d.Call]
		k := p.o.Kinds[c.Kind]
		switch {
		case waits && (takesHold(c) || k != nil && k.Idle):
			return fmt.Errorf("call %d, of kind %s, cannot be given an answer: a fork acquires states itself, and is cancelled with flawless workflow cancel: %w", d.Call, c.Kind, flawless.Invalid)
		case !waits:
			return fmt.Errorf("call %d cannot be given another answer: by turn %d it was not made yet, or its answer was already delivered; fork at a different turn: %w", d.Call, p.o.Turn, flawless.Invalid)
		case c.Kind == effect.HTTP:
			a, err := effect.ResponseAnswer(d.Call, d.Status, d.Body)
			if err != nil {
				return fmt.Errorf("the answer of call %d: %w", d.Call, err)
			}
			p.given[d.Call] = a
		default:
			if err := core.CheckAnswer(c, d.Body); err != nil {
				return err
			}
			p.given[d.Call] = flawless.Answer{Call: d.Call, Head: []byte("{}"), Body: d.Body}
		}
	}
	return nil
}

// Start returns the start of a fork of a run, with the given code. now is its time; 0 keeps the original time.
func Start(of flawless.Start, digest, run string, turn int, now int64) flawless.Start {
	of.Digest, of.Origin = digest, core.OriginOf(run, of.Origin, turn)
	if now != 0 { // otherwise a fork of a run that missed its deadline would be cancelled at once
		of.Deadline = of.DeadlineFrom(now)
	}
	return of
}

// Entries returns the log of a new run that continues from this past, and its state. now is its time; 0 keeps the
// original time.
func (p *Past) Entries(ctx context.Context, id string, now int64) (*core.State, []flawless.Entry) {
	s := core.NewState(id, p.o.Kinds)
	var out []flawless.Entry
	take := func(x flawless.Entry) {
		s.Step(x)
		out = append(out, x)
	}
	for _, x := range p.past() {
		switch {
		case x.Start != nil:
			start := Start(*x.Start, p.digest, p.run, p.o.Turn, now)
			x.Start = &start
		case x.Arrival != nil && p.replaced(*x.Arrival):
			continue
		case x.Upgrade != nil:
			continue // the start already names the code
		case x.Pause != nil, x.Cancel != nil && !p.saw(effect.Cancelled):
			continue // nobody asked the fork
		}
		take(x)
	}
	for _, c := range s.OpenCalls() {
		if a, ok := p.given[c.N]; ok {
			take(s.ArrivalEntry(a, nil, givenBy+core.NameOf(p.o.Who)))
		} else if a, ok := p.later[c.N]; ok {
			arrival := s.ArrivalEntry(a.Answer, nil, "answered in run "+p.run)
			arrival.Arrival.Message, arrival.Arrival.Reached = a.Message, a.Reached
			take(arrival)
		} else if c.Bad() == nil && c.UnknownReason() == "" && !s.IsWithdrawing(c.N) {
			for _, x := range p.open(ctx, s, c) {
				take(x)
			}
		}
	}
	for _, x := range s.Consequences() {
		take(x)
	}
	return s, out
}

// open returns what to do about a call without an answer.
func (p *Past) open(ctx context.Context, s *core.State, c *core.OpenCall) []flawless.Entry {
	doubt := func(format string, args ...any) []flawless.Entry {
		return []flawless.Entry{s.UnknownEntry(c.N, fmt.Sprintf(format, args...), p.o.Terms(s)(c))}
	}
	const made = "run %s, which this one was forked from, made the call, and no outcome of it is known"
	ended := func(r flawless.Run) []flawless.Entry {
		a := effect.EndAnswer(r)
		a.Call = c.N
		return []flawless.Entry{s.ArrivalEntry(a, nil, "the end of run "+r.ID)}
	}
	switch c.Kind {
	case effect.Spawn:
		id := cmp.Or(p.child[c.N], core.ChildID(p.run, c.N))
		child, err := p.o.Runs(ctx, id)
		h, _ := effect.ParseSpawn(c.Call) // it was valid before
		switch {
		case err != nil || child.Parent == "" || child.Parent != id[:max(0, strings.LastIndexByte(id, '.'))]:
			return doubt(made+"; run %s, which it was to start, is not here: resolve with --retry to start a child of this run, with --response to say what it returned", p.run, id)
		case child.Status.Ended() && !h.Detached:
			return ended(child)
		}
		return []flawless.Entry{s.AdoptEntry(c.N, id)}
	case effect.Await:
		h, _ := effect.ParseAwait(c.Call)
		if h.Run == s.Self().Run {
			return nil // it waits for itself
		}
		switch other, err := p.o.Runs(ctx, h.Run); {
		case err != nil:
			return doubt("run %s, which this one was forked from, waited for the end of run %s, which is not here: resolve with --response to say what it returned, with --retry when it is here", p.run, h.Run)
		case other.Status.Ended():
			return ended(other)
		}
		return nil
	}
	if c.Kind == effect.Read {
		return []flawless.Entry{s.ArrivalEntry(effect.GoneAnswer(c.Call, p.run), nil, "")}
	}
	if c.Effect().Perform != nil || c.Kind == effect.Send {
		return doubt(made, p.run)
	}
	return nil
}

// holds reports whether an answer is valid for the fork too, because it describes the world. An answer is not valid if
// it says that the original run had ended, had given up or held a state.
func (p *Past) holds(c flawless.Call, a flawless.Arrival) bool {
	k := p.o.Kinds[c.Kind]
	if k != nil && k.Idle || takesHold(c) {
		return false
	}
	var h struct{ Error *struct{ Kind string } }
	_ = json.Unmarshal(a.Head, &h) // the engine wrote it
	if h.Error != nil {
		return !slices.Contains([]string{"ended", "withdrawn", "deadlock", "imported"}, h.Error.Kind)
	}
	spawn, err := effect.ParseSpawn(c)
	// A run that has ended learns only that its child was started. An answer about the end of a child has an output.
	return c.Kind != effect.Spawn || err != nil || spawn.Detached || len(a.Body) > 0
}

// replaced reports whether an undelivered answer of the past is dropped in the fork, because another one was given or
// it is not valid there.
func (p *Past) replaced(a flawless.Arrival) bool {
	c, waits := p.player.Waits()[a.Call]
	return waits && (p.given[a.Call].Head != nil || !p.holds(c, a))
}

// saw reports whether the past made a call of a kind and received its answer.
func (p *Past) saw(kind string) bool {
	for _, c := range p.player.Waits() {
		if c.Kind == kind {
			return false
		}
	}
	return true
}

// takesHold reports whether the answer of a call means that its run holds a state.
func takesHold(c flawless.Call) bool {
	h, err := effect.ParseState(c)
	return c.Kind == effect.State && err == nil && h.Op == effect.StateLock
}

// past returns the entries up to the last shared turn.
func (p *Past) past() (out []flawless.Entry) {
	for _, rec := range p.log {
		for _, x := range rec.Entries {
			if p.o.Turn == 0 && x.Start == nil || x.Turn != nil && x.Turn.N > p.o.Turn || x.End != nil {
				return out
			}
			out = append(out, x)
			if x.Turn != nil && x.Turn.N == p.o.Turn {
				return out
			}
		}
	}
	return out
}

// maxOffline is the maximum number of turns taken offline.
const maxOffline = 10_000

// Offline takes turns without access to the world until something stops it. Calls are answered from the log if it has
// them, timers and sleeps pass at once, and the first other call stops it.
func (p *Past) Offline(ctx context.Context) (flawless.Offline, error) {
	out := flawless.Offline{Run: p.run, Turn: p.o.Turn, Digest: p.digest, Turns: []flawless.Turn{}, Would: []flawless.Call{}}
	s, _ := p.Entries(ctx, p.run, 0)
	return out, p.advance(ctx, s, &out)
}

// advance takes turns until something stops it.
func (p *Past) advance(ctx context.Context, s *core.State, out *flawless.Offline) error {
	known := p.logged()
	for n := range p.off {
		s.ClearUnknown(n)
	}
	now := s.At()
	for len(out.Turns) < maxOffline {
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
		got, err := p.player.Guest().Turn(ctx, in)
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
				if w, err := effect.ParseWithdraw(c); err == nil && s.Call(w.Call) != nil && p.off[w.Call].Head != nil {
					s.Step(s.ArrivalEntry(p.off[w.Call], nil, ""))
				}
			case k == nil: // a note, or already withdrawn
			case ok && effect.IsWithdrawn(a) && k.Effect() != nil && k.Effect().Perform != nil:
				p.off[c.N] = a
			case ok:
				now = max(now, at)
				s.Step(s.ArrivalEntry(a, nil, ""))
			case k != nil && k.Bad() != nil:
				s.Step(s.ArrivalEntry(k.InvalidAnswer(), nil, ""))
			case k != nil && k.Effect().Perform != nil, k != nil && k.Effect().Due == nil && !k.Effect().Idle:
				out.Would = append(out.Would, c)
			}
		}
		if len(out.Would) > 0 {
			return nil
		}
	}
	out.Failure = fmt.Sprintf("it was stopped after %d turns", maxOffline)
	return nil
}

// logged holds the calls of a log after the past, with their answers.
type logged struct{ all []loggedCall }

type loggedCall struct {
	call   flawless.Call
	answer flawless.Answer
	at     int64
	there  bool // whether it has an answer
}

func (p *Past) logged() *logged {
	l := &logged{}
	for _, rec := range p.log {
		for _, x := range rec.Entries {
			switch {
			case x.Turn != nil && x.Turn.N > p.o.Turn:
				for _, c := range x.Turn.Calls {
					l.all = append(l.all, loggedCall{call: c})
				}
			case x.Arrival != nil:
				for i := range l.all {
					if c := l.all[i].call; c.N == x.Arrival.Call && (takesHold(c) || effect.IsWithdrawn(x.Arrival.Answer) || p.holds(c, *x.Arrival)) {
						l.all[i].answer, l.all[i].at, l.all[i].there = x.Arrival.Answer, x.At, true
					}
				}
			}
		}
	}
	return l
}

// take returns the logged answer of a call, once.
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
