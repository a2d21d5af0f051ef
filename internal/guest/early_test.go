package guest

import (
	"fmt"
	"reflect"
	"testing"
)

// untilEnd runs a workflow to its end: whatever it asks for is answered in the next turn, but for every third
// call, which is answered later.
func untilEnd(t *testing.T, m *Module, in string) (outs []Out, cost uint64) {
	t.Helper()
	i := begin(t, m, in, 1)
	defer i.Release()
	now, late := int64(began), In{}
	for next := (In{Time: now}); len(outs) < 1000; {
		out := turn(t, i, next)
		cost += out.Cost
		out.Cost = 0
		if outs = append(outs, out); out.Ended != nil {
			return outs, cost
		}
		next.Answers = nil
		for _, c := range out.Calls {
			switch {
			case c.Kind != "http":
			case c.N%3 == 0:
				late.Answers = append(late.Answers, reply(c))
			default:
				next.Answers = append(next.Answers, reply(c))
			}
		}
		switch now += 1000; {
		case len(next.Answers) > 0:
		case len(late.Answers) > 0 && (out.Wake == 0 || len(outs)%4 == 0):
			next, late = late, In{}
		case out.Wake > 0:
			now = max(now, out.Wake)
		default:
			t.Fatalf("turn %d of %s waits for nothing", len(outs), in)
		}
		next.Time = now
	}
	t.Fatalf("%s does not end", in)
	return nil, 0
}

// The scheduler of Go looks at the network without waiting in places of its own. A turn that ends at such a
// look must have nothing left to do, and no timer that the engine does not know of: else what the guest does
// would come in other turns, or never.
func TestATurnThatEndsEarlyHasNothingLeftToDo(t *testing.T) {
	t.Parallel()
	withReleases(t, endsEarly)
}

func endsEarly(t *testing.T, m *Module) {
	var usual, early uint64
	for seed := range 60 {
		in := fmt.Sprint("storm ", seed)
		want, cost := untilEnd(t, m, in)
		usual += cost
		got, cost := untilEnd(t, m, "early "+in)
		early += cost
		for n := range want {
			if n >= len(got) || !reflect.DeepEqual(got[n], want[n]) {
				t.Fatalf("turn %d of %d of %s brings %+v, at its usual end %+v", n+1, len(want), in, got[min(n, len(got)-1)], want[n])
			}
		}
	}
	if early >= usual {
		t.Errorf("no turn ended early: %d units, usually %d", early, usual)
	}
}
