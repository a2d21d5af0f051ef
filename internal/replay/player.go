package replay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/value"
)

// NewPlayer returns a player for the log of a run. The caller must call Release.
func NewPlayer(id string, o Options) *Player { return &Player{id: id, Options: o} }

// Options says how to replay a log.
type Options struct {
	Until int // last turn to take; 0 is all, negative is none

	// Redact is the redaction that was applied to the log, if any. It is applied to the guest's calls before they are
	// compared.
	Redact *redact.Redaction

	stacks bool // ask the guest for the stacks of its calls
	// seen is called after each turn that matched the log.
	seen func(t *flawless.Turn, out guest.Out, inst *guest.Instance) error
}

// Run replays a log with a guest of m, which may be another module than the run's own. It changes neither the outside
// nor the run. A difference between code and log is reported in Replay.Divergence; an error means that the log cannot
// be read or that ctx has ended.
func Run(ctx context.Context, m *guest.Module, id string, log iter.Seq2[flawless.Record, error], o Options) (flawless.Replay, error) {
	p := NewPlayer(id, o)
	p.prints = true
	defer p.Release()
	err := p.Start(ctx, m, log)
	if p.inst != nil {
		hash := p.inst.Hash()
		p.report.Hash = hex.EncodeToString(hash[:])
	}
	return p.report, err
}

// Player takes the turns of a log again with a guest and compares its calls with the log. It changes nothing but the
// guest.
type Player struct {
	Options
	id      string
	inst    *guest.Instance
	arrived map[int]flawless.Answer // answers that came but were not delivered
	waits   map[int]flawless.Call   // calls whose answers were not delivered
	begun   flawless.Start
	last    *flawless.Turn // last turn taken
	report  flawless.Replay
	prints  bool // whether to report log lines
	at      spot
}

// spot is an entry of a log: the record, and which of its entries.
type spot struct {
	record uint64
	entry  int
}

// maxLines is the maximum number of reported log lines.
const maxLines = 10_000

// Release releases the guest.
func (p *Player) Release() {
	if p.inst != nil {
		p.inst.Release()
	}
}

// Start plays a whole log, beginning with its first record, which describes the guest to create.
func (p *Player) Start(ctx context.Context, m *guest.Module, log iter.Seq2[flawless.Record, error]) error {
	began := time.Now()
	err := p.play(ctx, func(yield func(flawless.Record, error) bool) {
		next := uint64(0)
		for rec, err := range ahead(log) {
			if err == nil && next == 0 {
				err = p.begin(ctx, m, rec)
			}
			if next++; !yield(rec, err) || err != nil {
				return
			}
		}
		if next == 0 {
			yield(flawless.Record{}, fmt.Errorf("the log of run %s is empty: %w", p.id, flawless.Damaged))
		}
	})
	p.report.Took = time.Since(began)
	if p.inst != nil {
		p.report.Memory = int64(p.inst.Size())
	}
	return p.diverged(err)
}

// diverged moves a divergence to the report.
func (p *Player) diverged(err error) error {
	var d *flawless.Divergence
	if errors.As(err, &d) {
		p.report.Divergence = d
		return nil
	}
	return err
}

// begin creates the guest that the first record of a log describes.
func (p *Player) begin(ctx context.Context, m *guest.Module, rec flawless.Record) error {
	if rec.Seq != 0 || len(rec.Entries) == 0 || rec.Entries[0].Start == nil {
		return fmt.Errorf("the log of run %s does not begin with its start: old turns were removed, so it cannot be replayed: %w", p.id, flawless.Damaged)
	}
	p.begun = *rec.Entries[0].Start
	if paths := Redacted(p.begun); p.Redact == nil && len(paths) > 0 {
		r, err := redact.NewRedaction(paths)
		if err != nil {
			return fmt.Errorf("the log of run %s: %w: %w", p.id, err, flawless.Damaged)
		}
		p.Redact = &r
	}
	p.report = flawless.Replay{Run: p.id, Module: p.begun.Module, Workflow: p.begun.Workflow, Digest: m.Digest(), Own: m.Digest() == p.begun.Digest}
	manifest := flawless.Module{Manifest: m.Manifest()}
	if manifest.Workflow(p.begun.Workflow) == nil {
		return fmt.Errorf("replaying run %s: the module %.12s has no workflow %q: %w", p.id, m.Digest(), p.begun.Workflow, flawless.NotFound)
	}
	var err error
	if p.inst, err = m.Start(ctx, StartOf(p.id, p.begun)); err != nil {
		return fmt.Errorf("making the guest of run %s: %w", p.id, err)
	}
	return nil
}

// StartOf returns how a guest starts.
func StartOf(id string, s flawless.Start) guest.Start {
	self := core.InitialSelf(id, s)
	return guest.Start{Run: self.Run, Module: s.Module, Workflow: s.Workflow, Input: s.Input, Seed: s.Seed, Time: s.Time, URL: self.URL}
}

// play takes the turns of records. It returns a *flawless.Divergence if the guest asks for something else.
func (p *Player) play(ctx context.Context, log iter.Seq2[flawless.Record, error]) error {
	if p.arrived == nil {
		p.arrived = map[int]flawless.Answer{}
	}
	p.waits = map[int]flawless.Call{}
	for rec, err := range log {
		if err != nil {
			return err
		}
		if rec.Cut != nil {
			return TruncatedError(p.id, rec.Cut, nil, flawless.Refused)
		}
		for k, e := range rec.Entries {
			p.at = spot{rec.Seq, k}
			switch {
			case e.Arrival != nil:
				p.arrived[e.Arrival.Call] = e.Arrival.Answer
			case e.Upgrade != nil:
				p.report.Own = p.report.Digest == e.Upgrade.Digest
			case e.Turn != nil:
				if p.Until < 0 || p.Until > 0 && e.Turn.N > p.Until || TimedOut(e.Turn) {
					return nil
				}
				if err := p.turn(ctx, e.Turn); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ahead reads records in advance, concurrently with the player: a few at first, so that a short log does not wait,
// then larger batches.
func ahead(log iter.Seq2[flawless.Record, error]) iter.Seq2[flawless.Record, error] {
	const maxRecords, maxBytes = 64, 1 << 20
	type item struct {
		rec flawless.Record
		err error
	}
	return func(yield func(flawless.Record, error) bool) {
		batches, stop := make(chan []item, 1), make(chan struct{})
		go func() {
			defer close(batches)
			var b []item
			size, batch := 0, 1
			hand := func() bool {
				select {
				case batches <- b:
					b, size, batch = nil, 0, min(2*batch, maxRecords)
					return true
				case <-stop:
					return false
				}
			}
			for rec, err := range log {
				b = append(b, item{rec, err})
				if size += rec.Size(); len(b) >= batch || size >= maxBytes || err != nil {
					if !hand() {
						return
					}
				}
			}
			if len(b) > 0 {
				hand()
			}
		}()
		defer func() {
			close(stop)
			for range batches { // drain until the reader stops
			}
		}()
		for b := range batches {
			for _, i := range b {
				if !yield(i.rec, i.err) {
					return
				}
			}
		}
	}
}

// turn replays one turn.
func (p *Player) turn(ctx context.Context, t *flawless.Turn) error {
	p.report.Of++
	if p.last != nil && p.last.Ended != nil {
		return fmt.Errorf("the log of run %s continues after its end, with turn %d: %w", p.id, t.N, flawless.Damaged)
	}
	in := guest.In{Time: t.Time, As: t.As, Expect: t.Calls, Same: p.same(), Stacks: p.stacks}
	for _, n := range t.Answers {
		a, ok := p.arrived[n]
		if !ok {
			return fmt.Errorf("the log of run %s delivers an answer of call %d in turn %d that it does not have: %w", p.id, n, t.N, flawless.Damaged)
		}
		in.Answers = append(in.Answers, a)
		delete(p.arrived, n)
	}
	out, err := p.inst.Turn(ctx, in)
	if err != nil {
		return fmt.Errorf("replaying turn %d of run %s: %w", t.N, p.id, err)
	}
	if p.prints && len(out.Lines) > 0 {
		p.print(t, out.Lines)
	}
	d := p.compare(t.Calls, out.Calls)
	if d == nil {
		d = p.compareEnds(t.Ended, out.Ended)
	}
	p.report.Cost += out.Cost
	if d != nil {
		d.Run, d.Turn = p.id, t.N
		if d.Logged != nil {
			d.LoggedSite = d.Logged.Site()
		}
		if d.Asked != nil {
			d.AskedSite = d.Asked.Site()
		}
		d.LoggedEnd, d.AskedEnd = t.Ended, out.Ended
		if p.Redact != nil { // redact both sides in the same way
			if d.Asked != nil {
				asked := p.Redact.Call(*d.Asked)
				d.Asked = &asked
			}
			d.AskedEnd = p.Redact.Ended(d.AskedEnd)
		}
		return d
	}
	p.last = t
	for _, n := range t.Answers {
		delete(p.waits, n)
	}
	for _, c := range t.Calls {
		p.waits[c.N] = c
	}
	p.report.Turns++
	p.report.Calls += len(t.Calls)
	p.report.Wake = out.Wake
	if p.seen != nil {
		return p.seen(t, out, p.inst)
	}
	return nil
}

// print reports the log lines of a turn that are not in the log.
func (p *Player) print(t *flawless.Turn, lines []flawless.Line) {
	logged := map[string]int{}
	for _, l := range t.Lines {
		logged[l.Level+" "+l.Text]++
	}
	for _, l := range lines {
		if p.Redact != nil {
			l.Text, l.Fields = p.Redact.Text(l.Text), p.Redact.JSON(l.Fields)
		}
		switch key := l.Level + " " + l.Text; {
		case logged[key] > 0:
			logged[key]--
		case len(p.report.Lines) == maxLines:
			p.report.More++
		default:
			p.report.Lines = append(p.report.Lines, flawless.ReplayedLine{Turn: t.N, Line: l})
		}
	}
}

// compare returns the first difference between the calls of a turn, or nil. Calls that match the log already have its
// numbers, so only unmatched ones are left.
func (p *Player) compare(logged, asked []flawless.Call) *flawless.Divergence {
	if len(asked) == len(logged) && !slices.ContainsFunc(asked, func(c flawless.Call) bool { return !has(logged, c.N) }) {
		return nil
	}
	d := &flawless.Divergence{}
	for i := range logged {
		if !has(asked, logged[i].N) {
			d.Call, d.Logged = logged[i].N, &logged[i]
			break
		}
	}
	for i := range asked { // choose the most similar one
		if !has(logged, asked[i].N) && (d.Asked == nil || d.Logged != nil && less(d.Logged, &asked[i], d.Asked)) {
			d.Asked = &asked[i]
		}
	}
	if d.Asked != nil {
		d.Call = cmp.Or(d.Call, d.Asked.N)
		// The guest numbers what does not match behind the logged calls. Both sides are the same call to a reader.
		asked := *d.Asked
		asked.N = d.Call
		d.Asked = &asked
	}
	return d
}

// less reports whether a differs less from the logged call than b.
func less(logged, a, b *flawless.Call) bool {
	if (a.Kind == logged.Kind) != (b.Kind == logged.Kind) {
		return a.Kind == logged.Kind
	}
	return len(logged.Mismatches(*a)) < len(logged.Mismatches(*b))
}

func has(calls []flawless.Call, n int) bool {
	return slices.ContainsFunc(calls, func(c flawless.Call) bool { return c.N == n })
}

// same returns how to compare a call with the logged one; nil is flawless.Call.Same.
func (p *Player) same() func(logged, asked flawless.Call) bool {
	if p.Redact == nil {
		return nil
	}
	return func(logged, asked flawless.Call) bool {
		return logged.Same(p.Redact.Call(asked))
	}
}

// wordedByEngine are the kinds of failures whose messages the engine writes. Another version of the engine may word them
// differently, so replay compares only the kind.
var wordedByEngine = []string{"exit", "limit", "memory", "trap"}

// compareEnds returns the difference between two ends, or nil.
func (p *Player) compareEnds(logged, asked *flawless.Ended) *flawless.Divergence {
	if p.Redact != nil {
		asked = p.Redact.Ended(asked)
	}
	switch {
	case logged == nil && asked == nil:
		return nil
	case logged != nil && logged.Failure != nil && logged.Failure.Kind == "stuck" && asked == nil:
		return nil // the engine ended the run, not the guest
	case logged == nil || asked == nil || (logged.Failure == nil) != (asked.Failure == nil):
		return &flawless.Divergence{}
	case logged.Failure != nil && logged.Failure.Kind != asked.Failure.Kind:
		return &flawless.Divergence{}
	case logged.Failure != nil && logged.Failure.Message != asked.Failure.Message && !slices.Contains(wordedByEngine, logged.Failure.Kind):
		return &flawless.Divergence{}
	case logged.Failure == nil && !bytes.Equal(logged.Output, asked.Output) && !value.SameJSON(logged.Output, asked.Output):
		return &flawless.Divergence{}
	}
	return nil
}

// Continue replays a log with an existing guest and compares its calls. arrived are the answers that came before the log
// and were not delivered. After each turn it calls seen unless that is nil. It changes nothing but the guest. It returns
// flawless.Diverged, or flawless.Refused if a limit of this server stops the guest where it was not stopped before.
func Continue(ctx context.Context, inst *guest.Instance, id string, log iter.Seq2[flawless.Record, error], arrived map[int]flawless.Answer, seen func(t *flawless.Turn, out guest.Out) error) error {
	p := Player{id: id, inst: inst, arrived: arrived}
	if seen != nil {
		p.seen = func(t *flawless.Turn, out guest.Out, _ *guest.Instance) error { return seen(t, out) }
	}
	return lessAllowed(p.play(ctx, ahead(log)))
}

// lessAllowed explains the divergence of a guest that was stopped by a limit of this server, and had not been when its log
// was written. Such a run is not damaged: a server with the former limit can continue it.
func lessAllowed(err error) error {
	var d *flawless.Divergence
	if !errors.As(err, &d) || d.AskedEnd == nil || d.AskedEnd.Failure == nil {
		return err
	}
	failure, option := d.AskedEnd.Failure, map[string]string{"memory": "--memory-pages", "limit": "--turn-units"}[d.AskedEnd.Failure.Kind]
	if option == "" || d.LoggedEnd != nil && d.LoggedEnd.Failure != nil && d.LoggedEnd.Failure.Kind == failure.Kind {
		return err
	}
	return fmt.Errorf("replaying turn %d of run %s: %s; the server allowed more when this turn was taken, so start it with a higher %s: %w", d.Turn, d.Run, failure.Message, option, flawless.Refused)
}

// TimedOut reports whether a turn was stopped because it took too long. Such a turn cannot be replayed.
func TimedOut(t *flawless.Turn) bool {
	return t.Ended != nil && t.Ended.Failure != nil && t.Ended.Failure.Kind == TooSlow
}

// TooSlow is the failure kind of a run whose turn exceeded the operator's time limit.
const TooSlow = "time"

// Redacted returns the redaction rules that were applied to a log when it was exported.
func Redacted(s flawless.Start) []string {
	if s.Origin == nil {
		return nil
	}
	return s.Origin.Redacted
}

// TruncatedError returns the error for a run that cannot be restored from its start or its image. image is the reason for
// the latter, nil if that was not tried.
func TruncatedError(id string, c *flawless.Cut, image error, code flawless.Code) error {
	why := ""
	if image != nil {
		why = fmt.Sprintf(", and its image cannot be used: %v", image)
	}
	return fmt.Errorf("the first %d turns of the log of run %s were removed (--keep-turns of its module), so it cannot be replayed from its start%s: %w", c.Turns, id, why, code)
}

// Records yields the records of a bundle's log as a store does.
func Records(log []flawless.Record) iter.Seq2[flawless.Record, error] {
	return func(yield func(flawless.Record, error) bool) {
		for _, r := range log {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// IsStuck reports whether nothing can wake the guest after the last turn.
func (p *Player) IsStuck(kinds map[string]*effect.Kind) bool {
	if p.report.Wake != 0 {
		return false
	}
	for _, c := range p.waits {
		if k := kinds[c.Kind]; k == nil || !k.Idle && !k.Note {
			return false
		}
	}
	return true
}

// ID returns the id of the run.
func (p *Player) ID() string { return p.id }

// Guest returns the guest after the last turn, or nil before the first record.
func (p *Player) Guest() *guest.Instance { return p.inst }

// Report returns the result so far.
func (p *Player) Report() *flawless.Replay { return &p.report }

// Last returns the last turn taken, or nil.
func (p *Player) Last() *flawless.Turn { return p.last }

// Waits returns the calls whose answers were not delivered, by number.
func (p *Player) Waits() map[int]flawless.Call { return p.waits }

// Begun returns the start of the run.
func (p *Player) Begun() flawless.Start { return p.begun }
