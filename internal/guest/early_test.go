package guest

import (
	"fmt"
	"reflect"
	"testing"
)

// untilEnd runs a workflow to its end: whatever it asks for is answered in the next turn, but for every third
// call, which is answered later.
func untilEnd(t *testing.T, m *Module, in string) (outs []Out, costs []uint64) {
	t.Helper()
	i := begin(t, m, in, 1)
	defer i.Release()
	now, late := int64(began), In{}
	for next := (In{Time: now}); len(outs) < 1000; {
		out := turn(t, i, next)
		costs = append(costs, out.Cost)
		out.Cost = 0
		if outs = append(outs, out); out.Ended != nil {
			return outs, costs
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
	return nil, nil
}

// The scheduler of Go looks at the network without waiting in places of its own. A turn that ends at such a
// look must have nothing left to do, and no timer that the engine does not know of: else what the guest does
// would come in other turns, or never.
func TestATurnThatEndsEarlyHasNothingLeftToDo(t *testing.T) {
	t.Parallel()
	withReleases(t, endsEarly)
}

func endsEarly(t *testing.T, build func() ([]byte, error)) {
	m, patient := loadBuilt(t, build, Options{}), loadBuilt(t, build, Options{patient: true})
	early, turns := 0, 0
	for seed := range 100 {
		in := fmt.Sprint("early storm ", seed)
		want, usual := untilEnd(t, patient, in)
		got, costs := untilEnd(t, m, in)
		for n := range want {
			if n >= len(got) || !reflect.DeepEqual(got[n], want[n]) {
				t.Fatalf("turn %d of %d of %s brings %+v, at its usual end %+v", n+1, len(want), in, got[min(n, len(got)-1)], want[n])
			}
			if turns++; costs[n] < usual[n] {
				early++
			}
		}
	}
	if early < turns/20 {
		t.Errorf("%d of %d turns ended early", early, turns)
	}
	t.Logf("%d of %d turns ended early", early, turns)
}
