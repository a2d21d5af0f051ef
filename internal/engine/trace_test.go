package engine

import (
	"errors"
	"regexp"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// find returns the frames of a function, wherever they are.
func find(frames []*flawless.Frame, name string) (out []*flawless.Frame) {
	for _, f := range frames {
		if f.Func == name {
			out = append(out, f)
		}
		out = append(out, find(f.Calls, name)...)
	}
	return out
}

func TestTraceShowsPathThroughCode(t *testing.T) {
	t.Parallel()
	out := newOutside(t)
	e := open(t, mem.New(), Options{})
	in := map[string]any{"url": out.URL, "dead": deadURL, "n": 7}
	mustStart(t, e, "everything", in, "run")
	mustEnd(t, e, "run")
	mustStart(t, e, "chain", map[string]any{"url": out.URL, "n": 3}, "chain")
	mustEnd(t, e, "chain")

	tr, err := e.Trace(t.Context(), "chain", nil, replay.TraceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	posts, total := 0, uint64(0)
	for _, turn := range tr.Turns {
		for _, f := range find(turn.Roots, "main.post") {
			posts += f.Count
			if f.From.File != "guest/main.go" || f.From.Line == 0 || f.Site.File != "guest/main.go" {
				t.Errorf("post is at %v, called from %v", f.Site, f.From)
			}
		}
		if n := len(find(turn.Roots, "main.chain")); n != 1 {
			t.Errorf("turn %d has %d branches with chain", turn.N, n)
		}
		var sum uint64
		for _, f := range turn.Roots {
			sum += f.Total
		}
		if sum+turn.Other != turn.Cost {
			t.Errorf("turn %d: %d units in functions and %d others, together it cost %d", turn.N, sum, turn.Other, turn.Cost)
		}
		total += turn.Cost
		for _, c := range turn.Calls {
			if c.N > 1 && (len(c.Stack) == 0 || !onStack(c.Stack, "main.post") || !onStack(c.Stack, "main.chain")) {
				t.Errorf("call %d was made at %v", c.N, c.Stack)
			}
		}
	}
	if posts != 3 {
		t.Errorf("post was called %d times", posts)
	}
	run, err := e.Run(t.Context(), "chain")
	if err != nil || run.Cost != total {
		t.Errorf("the run cost %d units, traced %d", run.Cost, total)
	}

	one, err := e.Trace(t.Context(), "run", nil, replay.TraceOptions{Turn: 2, Func: regexp.MustCompile(`^main\.post`)})
	if err != nil || len(one.Turns) != 1 || one.Turns[0].N != 2 || len(find(one.Turns[0].Roots, "main.everything")) != 1 {
		t.Errorf("one turn: %+v, %v", one, err)
	}
	flat, err := e.Trace(t.Context(), "run", nil, replay.TraceOptions{Depth: 1})
	if err != nil || len(flat.Turns[0].Roots) == 0 || flat.Turns[0].Roots[0].Calls != nil {
		t.Errorf("only the roots: %+v, %v", flat, err)
	}
	if _, err := e.Trace(t.Context(), "run", nil, replay.TraceOptions{Turn: 99}); !errors.Is(err, flawless.NotFound) {
		t.Errorf("a turn that there is not: %v", err)
	}
	all, err := e.Trace(t.Context(), "chain", nil, replay.TraceOptions{All: true})
	if err != nil || len(all.Turns) != len(tr.Turns) {
		t.Fatalf("with all: %d turns, %v", len(all.Turns), err)
	}
	if n := len(find(all.Turns[0].Roots, "main.chain")); n != 1 {
		t.Errorf("with all, there are %d branches with chain", n)
	}
}

func onStack(s []flawless.StackFrame, name string) bool {
	for _, f := range s {
		if f.Func == name && f.Site.Line > 0 {
			return true
		}
	}
	return false
}
