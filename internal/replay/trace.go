package replay

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
)

// TraceOptions says what a trace contains.
type TraceOptions struct {
	Turn  int            // only this turn; 0 is all
	Depth int            // maximum depth of the tree; 0 is unlimited
	Func  *regexp.Regexp // only paths to matching functions; nil is all
	All   bool           // also functions of the language runtime
	// Each receives every turn instead of the returned list, which may be long. Nil returns the list. An error ends
	// the trace.
	Each func(flawless.TracedTurn) error
}

// Trace returns a trace for a log, see [Engine.Trace]. The module must have been loaded for tracing.
func Trace(ctx context.Context, m *guest.Module, id string, log iter.Seq2[flawless.Record, error], o TraceOptions) (flawless.Trace, error) {
	out := flawless.Trace{Run: id, Digest: m.Digest(), Turns: []flawless.TracedTurn{}}
	shown := 0
	r, err := Run(ctx, m, id, log, Options{Until: o.Turn, seen: func(t *flawless.Turn, got guest.Out, inst *guest.Instance) error {
		if o.Turn != 0 && t.N != o.Turn {
			return nil
		}
		turn, err := inst.Traced()
		if err != nil {
			return fmt.Errorf("tracing run %s: %w", id, err)
		}
		turn.N, turn.Time, turn.Cost, turn.Other = t.N, t.Time, got.Cost, got.Cost
		for _, f := range turn.Roots {
			turn.Other -= min(f.Total, turn.Other)
		}
		turn.Roots = slices.DeleteFunc(turn.Roots, func(f *flawless.Frame) bool { return !o.keep(f) })
		for _, f := range turn.Roots {
			prune(f, o.Depth)
		}
		if shown++; o.Each != nil {
			return o.Each(turn)
		}
		out.Turns = append(out.Turns, turn)
		return nil
	}})
	out.Divergence = r.Divergence
	if err == nil && o.Turn > 0 && shown == 0 && r.Divergence == nil {
		err = fmt.Errorf("run %s has no turn %d, it has %d: %w", id, o.Turn, r.Turns, flawless.NotFound)
	}
	return out, err
}

// keep removes the branches that lead to no requested function, and reports whether anything is left.
func (o *TraceOptions) keep(f *flawless.Frame) bool {
	if o.Func == nil || o.Func.MatchString(f.Func) {
		return true
	}
	f.Calls = slices.DeleteFunc(f.Calls, func(c *flawless.Frame) bool { return !o.keep(c) })
	return len(f.Calls) > 0
}

// prune cuts a tree below a depth; 0 is unlimited.
func prune(f *flawless.Frame, depth int) {
	if depth == 1 {
		f.Calls = nil
	}
	for _, c := range f.Calls {
		prune(c, max(depth-1, 0))
	}
}
