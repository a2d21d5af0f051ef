package render

import (
	"fmt"

	"github.com/google/pprof/profile"

	"github.com/flawless-engine/flawless"
)

// Profile converts a trace for go tool pprof.
func Profile(t flawless.Trace) *profile.Profile {
	b := profiler{&profile.Profile{
		SampleType: []*profile.ValueType{{Type: "calls", Unit: "count"}, {Type: "cost", Unit: "units"}}, DefaultSampleType: "cost",
		PeriodType: &profile.ValueType{Type: "cost", Unit: "units"}, Period: 1,
		Comments: []string{"run " + t.Run, "module " + t.Digest},
	}, map[string]*profile.Function{}, map[string]*profile.Location{}}
	if len(t.Turns) > 0 {
		b.p.TimeNanos = t.Turns[0].Time
	}
	for _, turn := range t.Turns {
		for _, f := range turn.Roots {
			b.frame(f, nil, turn.N)
		}
		if turn.Other > 0 {
			b.sample([]*profile.Location{b.location("(runtime)", flawless.Site{}, 0)}, 0, turn.Other, turn.N)
		}
	}
	return b.p
}

// profiler builds a profile: one sample for each function and caller, with the number of calls, the cost, and
// the turn as a label.
type profiler struct {
	p         *profile.Profile
	functions map[string]*profile.Function
	locations map[string]*profile.Location
}

// frame adds the samples of a function and of those it called. above are its callers, innermost first. Where a
// caller makes the call is known only here, from the From of the function it calls.
func (b *profiler) frame(f *flawless.Frame, above []*flawless.Frame, turn int) {
	stack := []*profile.Location{b.location(f.Func, f.Site, f.Site.Line)}
	line := f.From.Line
	for _, s := range above {
		at := s.Site.Line
		if line > 0 {
			at = line
		}
		stack = append(stack, b.location(s.Func, s.Site, at))
		line = s.From.Line
	}
	if f.Self > 0 || f.Count > 0 {
		b.sample(stack, f.Count, f.Self, turn)
	}
	deeper := append([]*flawless.Frame{f}, above...)
	for _, c := range f.Calls {
		b.frame(c, deeper, turn)
	}
}

func (b *profiler) sample(stack []*profile.Location, calls int, cost uint64, turn int) {
	b.p.Sample = append(b.p.Sample, &profile.Sample{Location: stack, Value: []int64{int64(calls), int64(cost)},
		Label: map[string][]string{"turn": {fmt.Sprint(turn)}}})
}

func (b *profiler) location(name string, site flawless.Site, line int) *profile.Location {
	key := fmt.Sprint(name, " ", line)
	l := b.locations[key]
	if l == nil {
		f := b.functions[name]
		if f == nil {
			f = &profile.Function{ID: uint64(len(b.functions) + 1), Name: name, SystemName: name, Filename: site.File, StartLine: int64(site.Line)}
			b.functions[name] = f
			b.p.Function = append(b.p.Function, f)
		}
		l = &profile.Location{ID: uint64(len(b.locations) + 1), Line: []profile.Line{{Function: f, Line: int64(line)}}}
		b.locations[key] = l
		b.p.Location = append(b.p.Location, l)
	}
	return l
}
