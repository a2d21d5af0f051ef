package replay

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
)

type inspector struct {
	out    *flawless.Inspection
	turn   int
	kinds  map[string]*effect.Kind
	p      *Player
	calls  map[int]flawless.Call // open calls
	data   []byte
	other  []byte // memory after the turn to compare with
	memory []byte
	last   *flawless.Turn
}

// stopped ends a replay that has seen enough.
type stopped struct{}

func (stopped) Error() string { return "enough was seen" }

func (i *inspector) seen(t *flawless.Turn, out guest.Out, inst *guest.Instance) error {
	if i.last == nil || i.turn == 0 || t.N <= i.turn {
		i.last = t
		for _, n := range t.Answers {
			delete(i.calls, n)
		}
		for _, c := range t.Calls {
			if k := i.kinds[c.Kind]; k == nil || !k.Note {
				i.calls[c.N] = c
			}
		}
		if t.Data != nil {
			i.data = t.Data
		}
		i.out.Wake, i.out.Own, i.out.Memory = out.Wake, inst.Own(), inst.Size()
		i.out.Arrived = slices.Collect(maps.Keys(i.p.arrived))
	}
	if t.N == i.out.Against {
		i.other = inst.Memory()
	}
	if t.N == i.turn {
		i.memory = inst.Memory()
		if i.out.Against <= t.N {
			i.blocked(inst)
			return stopped{}
		}
	}
	return nil
}

// blocked asks the guest where its goroutines or tasks are blocked. The guest cannot be used afterwards.
func (i *inspector) blocked(inst *guest.Instance) {
	if i.last.Ended == nil {
		i.out.Blocked = inst.Blocked(context.Background())
		i.out.Tasks = append(i.out.Tasks, tasks(i.out.Blocked)...)
	}
}

func (i *inspector) inspect(ctx context.Context, m *guest.Module, log iter.Seq2[flawless.Record, error]) error {
	err := i.p.Start(ctx, m, log)
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
	case i.out.Against > 0 && i.other == nil:
		return fmt.Errorf("it has no turn %d to compare with, it has %d: %w", i.out.Against, i.p.report.Turns, flawless.NotFound)
	}
	if i.memory == nil {
		i.memory = i.p.inst.Memory()
		i.blocked(i.p.inst)
	}
	i.out.Turn, i.out.Time, i.out.Ended, i.out.Data = i.last.N, i.last.Time, i.last.Ended, i.data
	i.out.Pending = []flawless.Call{}
	for _, n := range slices.Sorted(maps.Keys(i.calls)) {
		i.out.Pending = append(i.out.Pending, i.calls[n])
	}
	slices.Sort(i.out.Arrived)
	if i.out.Against > 0 {
		i.out.Changes = changes(i.other, i.memory)
	}
	return nil
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

// Inspect returns the state of a run after a turn; turn 0 is the last one. If against is not 0, it compares the memory
// with that after turn against. It returns a *flawless.Divergence if the code asks for something else than the log
// has.
func Inspect(ctx context.Context, m *guest.Module, id string, log iter.Seq2[flawless.Record, error], kinds map[string]*effect.Kind, turn, against int) (flawless.Inspection, error) {
	var out flawless.Inspection
	i := inspector{out: &out, turn: turn, kinds: kinds, calls: map[int]flawless.Call{}}
	out.Run, out.Against, out.Digest, out.Tasks = id, against, m.Digest(), []flawless.Task{}
	until := max(turn, against)
	if turn == 0 {
		until = 0
	}
	i.p = NewPlayer(id, Options{Until: until, seen: i.seen})
	defer i.p.Release()
	err := i.inspect(ctx, m, log)
	return out, err
}
