package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
)

// Divergence is where a replay asked for something else than the log says. It wraps
// flawless.Diverged.
type Divergence struct {
	Run    string         `json:"run"`
	Turn   int            `json:"turn"`
	Call   int            `json:"call"`             // the first that differs
	Logged *flawless.Call `json:"logged,omitempty"` // nil: the log has no such call
	Asked  *flawless.Call `json:"asked,omitempty"`  // nil: the code makes no such call
}

func (d *Divergence) Error() string {
	return fmt.Sprintf("the replay of run %s diverged in turn %d at call %d: logged %s, asked %s", d.Run, d.Turn, d.Call, title(d.Logged), title(d.Asked))
}

// Unwrap returns flawless.Diverged.
func (d *Divergence) Unwrap() error { return flawless.Diverged }

func title(c *flawless.Call) string {
	if c == nil {
		return "nothing"
	}
	s := fmt.Sprintf("%s %s", c.Kind, c.Head)
	if len(c.Body) > 0 {
		s += fmt.Sprintf(" with a body of %d bytes", len(c.Body))
	}
	return s
}

// revive makes the guest of a run again: a new one that is handed the logged answers, turn by turn.
// The driver calls it, with every turn written.
func (r *run) revive(ctx context.Context) error {
	l, err := r.e.module(ctx, r.s.start.Digest)
	if err != nil {
		return fmt.Errorf("loading module %s (%s) of run %s: %w", r.s.start.Module, r.s.start.Digest, r.id, err)
	}
	start := guest.Start{Run: r.id, Module: r.s.start.Module, Workflow: r.s.start.Workflow, Input: r.s.start.Input, Seed: r.s.start.Seed, Time: r.s.start.Time, Yield: r.e.yield}
	inst, err := r.thaw(ctx, l.module, start)
	if err != nil {
		return err
	}
	if inst == nil {
		if inst, err = l.module.Start(ctx, start); err != nil {
			return fmt.Errorf("making the guest of run %s: %w", r.id, err)
		}
		if r.s.turn > 0 {
			r.e.counts.replayed.Add(1)
			if err := replay(ctx, inst, r.id, r.e.store.Log(ctx, r.id, 0), nil, nil); err != nil {
				inst.Release()
				return err
			}
		}
	}
	r.mu.Lock()
	r.inst = inst
	r.mu.Unlock()
	return nil
}

// replay takes the turns of a log again with a guest and compares what it asks for. arrived are the
// answers that came before the log and were not delivered. After each turn it calls seen, where that
// is not nil. It touches nothing but the guest.
func replay(ctx context.Context, inst *guest.Instance, id string, log iter.Seq2[flawless.Record, error], arrived map[int]flawless.Answer, seen func(t *flawless.Turn, out guest.Out) error) error {
	if arrived == nil {
		arrived = map[int]flawless.Answer{}
	}
	for rec, err := range log {
		if err != nil {
			return err
		}
		if rec.Cut != nil {
			return cutError(id, rec.Cut, flawless.Refused)
		}
		for _, e := range rec.Entries {
			switch {
			case e.Arrival != nil:
				arrived[e.Arrival.Call] = e.Arrival.Answer
			case e.Turn != nil:
				if slow(e.Turn) {
					return nil
				}
				in := guest.In{Time: e.Turn.Time}
				for _, n := range e.Turn.Answers {
					a, ok := arrived[n]
					if !ok {
						return fmt.Errorf("the log of run %s delivers an answer of call %d in turn %d that it does not have: %w", id, n, e.Turn.N, flawless.Damaged)
					}
					in.Answers = append(in.Answers, a)
					delete(arrived, n)
				}
				out, err := inst.Turn(ctx, in)
				if err != nil {
					return fmt.Errorf("replaying turn %d of run %s: %w", e.Turn.N, id, err)
				}
				if d := compare(e.Turn.Calls, out.Calls); d != nil {
					d.Run, d.Turn = id, e.Turn.N
					return d
				}
				if seen != nil {
					if err := seen(e.Turn, out); err != nil {
						return err
					}
				}
				if out.Ended != nil {
					return nil
				}
			}
		}
	}
	return nil
}

// compare returns the first difference between the calls of a turn, nil where there is none.
func compare(logged, asked []flawless.Call) *Divergence {
	for i := range max(len(logged), len(asked)) {
		switch {
		case i >= len(logged):
			return &Divergence{Call: asked[i].N, Asked: &asked[i]}
		case i >= len(asked):
			return &Divergence{Call: logged[i].N, Logged: &logged[i]}
		case !sameRequest(logged[i], asked[i]):
			return &Divergence{Call: logged[i].N, Logged: &logged[i], Asked: &asked[i]}
		}
	}
	return nil
}

// sameRequest tells whether two calls ask for the same; the call site takes no part.
func sameRequest(a, b flawless.Call) bool {
	if a.N != b.N || a.Kind != b.Kind || !bytes.Equal(a.Body, b.Body) {
		return false
	}
	return bytes.Equal(a.Head, b.Head) || bytes.Equal(withoutSite(a.Head), withoutSite(b.Head))
}

func withoutSite(head []byte) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(head, &m) != nil {
		return head
	}
	delete(m, "at")
	out, err := json.Marshal(m)
	if err != nil {
		return head
	}
	return out
}
