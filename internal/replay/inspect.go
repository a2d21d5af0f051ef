package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
)

// Log yields the records of a run, beginning with number from.
type Log func(from uint64) iter.Seq2[flawless.Record, error]

// Inspector inspects runs. Of those that were inspected last it keeps guests, frozen between two turns, so that another look replays
// only the turns in between. All methods may be called concurrently.
type Inspector struct {
	kinds map[string]*effect.Kind
	past  past
}

// NewInspector returns an inspector whose guests take up to limit bytes of memory; 0 keeps none.
func NewInspector(kinds map[string]*effect.Kind, limit int) *Inspector {
	return &Inspector{kinds: kinds, past: past{limit: limit, runs: map[pastRun]*moments{}}}
}

// Inspect returns the state of a run after a turn; turn 0 is the last one. If against is not 0, it compares the memory with that
// after turn against. It returns a *flawless.Divergence if the code asks for something else than the log has.
func (x *Inspector) Inspect(ctx context.Context, m *guest.Module, id string, log Log, turn, against int) (flawless.Inspection, error) {
	first, err := firstOf(log(0))
	if err != nil {
		return flawless.Inspection{}, err
	}
	run := pastRunOf(id, m, first)
	until, from := max(turn, against), turn
	if turn == 0 {
		until = 0
	}
	if against > 0 && (from == 0 || against < from) {
		from = against
	}
	for {
		i := inspection{turn: turn, against: against, run: run, past: &x.past, kinds: x.kinds}
		i.p = NewPlayer(id, Options{Until: until, stacks: true, seen: i.seen})
		begin := x.past.before(run, from)
		err := i.inspect(ctx, m, log, begin)
		i.p.Release()
		if errors.Is(err, errOtherPast) {
			x.past.forget(run)
			continue
		}
		out := i.out
		out.Run, out.Against, out.Digest = id, against, m.Digest()
		if out.Tasks == nil {
			out.Tasks = []flawless.Task{}
		}
		return out, err
	}
}

// firstOf returns the first record of a log, or the zero record if there is none.
func firstOf(log iter.Seq2[flawless.Record, error]) (flawless.Record, error) {
	for rec, err := range log {
		return rec, err
	}
	return flawless.Record{}, nil
}

// inspection is one look at a run.
type inspection struct {
	moment        // after the last turn that was taken and is not behind the one to inspect
	turn, against int
	run           pastRun
	past          *past
	kinds         map[string]*effect.Kind
	p             *Player
	out           flawless.Inspection
	other         []byte // memory after the turn to compare with
	memory        []byte
	over          bool // the guest was asked where it is blocked
}

// stopped ends a replay that has seen enough.
type stopped struct{}

func (stopped) Error() string { return "enough was seen" }

// errOtherPast means that the log is not the one that a frozen guest has seen: its run was replaced, or the database has lost writes.
var errOtherPast = errors.New("the log is another one")

// seen is called after each turn.
func (i *inspection) seen(t *flawless.Turn, out guest.Out, inst *guest.Instance) error {
	if i.last == nil || i.turn == 0 || t.N <= i.turn {
		i.after(t, out, i.p, inst, i.kinds)
	}
	return i.look(t.N, inst)
}

// look takes in what is asked for of the guest after a turn, and returns stopped once that is all.
func (i *inspection) look(turn int, inst *guest.Instance) error {
	if turn == i.against {
		i.other = inst.Memory()
	}
	if turn != i.turn {
		i.past.pass(i.run, &i.moment, i.p, inst)
		return nil
	}
	if i.against > 0 {
		i.memory = inst.Memory()
	}
	i.past.keep(i.run, &i.moment, i.p, inst)
	if i.against <= turn {
		i.blocked(inst)
		return stopped{}
	}
	return nil
}

// blocked asks the guest where its goroutines or tasks are blocked. The guest cannot be used afterwards.
func (i *inspection) blocked(inst *guest.Instance) {
	if i.over = true; i.last.Ended == nil {
		i.out.Blocked = inst.Blocked(context.Background())
		i.out.Tasks = tasks(i.out.Blocked)
	}
}

func (i *inspection) inspect(ctx context.Context, m *guest.Module, log Log, begin *frozen) error {
	err := i.play(ctx, m, log, begin)
	if _, enough := err.(stopped); err != nil && !enough {
		return err
	}
	switch d := i.p.report.Divergence; {
	case d != nil:
		return d
	case i.last == nil:
		return fmt.Errorf("it has taken no turn yet: %w", flawless.Conflict)
	case i.turn > 0 && i.last.N != i.turn:
		return fmt.Errorf("it has no turn %d, it has %d: %w", i.turn, i.last.N, flawless.NotFound)
	case i.against > 0 && i.other == nil:
		return fmt.Errorf("it has no turn %d to compare with, it has %d: %w", i.against, i.p.report.Turns, flawless.NotFound)
	}
	if i.memory == nil && i.against > 0 {
		i.memory = i.p.inst.Memory()
	}
	if !i.over {
		i.past.keep(i.run, &i.moment, i.p, i.p.inst)
		if i.last == i.p.last { // else it has gone on, for the comparison
			i.blocked(i.p.inst)
		}
	}
	i.moment.show(&i.out)
	for k, t := range i.out.Tasks { // a task in Rust says only which call it waits for
		if stack := i.stacks[t.Call]; t.Call > 0 && len(stack) > 0 {
			i.out.Tasks[k].Frames = stack
		}
	}
	if i.against > 0 {
		i.out.Changes = changes(i.other, i.memory)
	}
	return nil
}

// play takes the turns, from the first one on or, if begin is not nil, from those that begin has taken already.
func (i *inspection) play(ctx context.Context, m *guest.Module, log Log, begin *frozen) error {
	if begin == nil {
		return i.p.Start(ctx, m, log(0))
	}
	if err := begin.thaw(ctx, m, i.p); err != nil {
		return i.p.Start(ctx, m, log(0)) // it is only a short cut
	}
	i.moment = begin.moment.clone()
	if err := i.look(i.last.N, i.p.inst); err != nil {
		return i.check(log, begin, err)
	}
	return i.p.diverged(i.p.play(ctx, ahead(begin.rest(log))))
}

// check returns err, or errOtherPast if the log does not have the turn after which a guest was frozen.
func (i *inspection) check(log Log, begin *frozen, err error) error {
	for _, wrong := range begin.rest(log) {
		if wrong != nil {
			return wrong
		}
		break
	}
	return err
}

// inspectedPage is the page size for memory comparisons, independent of the system's.
const inspectedPage = 4096

// changes returns the differing pages of two memories. The shorter one is extended with zeros.
func changes(a, b []byte) []flawless.PageChange {
	out := []flawless.PageChange{}
	page := func(m []byte, at int) []byte {
		p := make([]byte, inspectedPage)
		if at < len(m) {
			copy(p, m[at:])
		}
		return p
	}
	for at := 0; at < max(len(a), len(b)); at += inspectedPage {
		x, y := page(a, at), page(b, at)
		if bytes.Equal(x, y) {
			continue
		}
		n := 0
		for k := range x {
			if x[k] != y[k] {
				n++
			}
		}
		if last := len(out) - 1; last >= 0 && out[last].From+out[last].Pages*inspectedPage == at {
			out[last].Pages++
			out[last].Bytes += n
		} else {
			out = append(out, flawless.PageChange{From: at, Pages: 1, Bytes: n})
		}
	}
	return out
}
