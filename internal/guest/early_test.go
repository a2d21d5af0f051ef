package guest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

// untilEnd runs a workflow to its end. Each call is answered in the next turn, except every third call, which is
// answered later, one in a turn. About half of the runs that can be are cancelled after a while.
func untilEnd(t *testing.T, m *Module, in string) (outs []Out, costs []uint64) {
	t.Helper()
	i := begin(t, m, in, 1)
	defer i.Release()
	now := int64(began)
	var late, cancel []flawless.Answer
	for next := (In{Time: now}); len(outs) < 1000; {
		out := turn(t, i, next)
		costs = append(costs, out.Cost)
		out.Cost = 0
		if out.Wake > now+int64(100*time.Millisecond) {
			out.Wake = 0 // a timer of Go's scavenger; the guest has none so late
		}
		if outs = append(outs, out); out.Ended != nil {
			return outs, costs
		}
		next.Answers = nil
		for _, c := range out.Calls {
			switch {
			case c.Kind == "cancelled" && len(in)%2 == 0:
				cancel = append(cancel, reply(c))
			case c.Kind != "http":
			case c.N%3 == 0:
				late = append(late, reply(c))
			default:
				next.Answers = append(next.Answers, reply(c))
			}
		}
		switch now += 1000; {
		case len(next.Answers) > 0:
		case len(late) > 0 && (out.Wake == 0 || len(outs)%4 == 0):
			next.Answers, late = late[:1:1], late[1:]
		case out.Wake > 0:
			now = max(now, out.Wake)
		default:
			t.Fatalf("turn %d of %s waits for nothing", len(outs), in)
		}
		if len(outs) >= 40 {
			next.Answers, cancel = append(next.Answers, cancel...), nil
		}
		next.Time = now
	}
	t.Fatalf("%s does not end", in)
	return nil, nil
}

// Go's scheduler polls the network without waiting at points of its choice. A turn that ends at such a poll must
// leave nothing to do, and no timer that the engine does not know. Otherwise the guest's output would come in other
// turns, or never.
func TestEarlyEndOfTurnLeavesNothingToDo(t *testing.T) {
	t.Parallel()
	basic.each(t, func(t *testing.T, build func() ([]byte, error)) { endsEarly(t, build, "early storm", 20) })
}

// The SDK ends a turn without the scheduler if its only goroutine waits for an answer. The same must hold for such
// turns.
func TestTurnEndedByTheSDKLeavesNothingToDo(t *testing.T) {
	t.Parallel()
	resting.each(t, func(t *testing.T, build func() ([]byte, error)) { endsEarly(t, build, "weather", 4) })
}

// endsEarly compares the output of a guest with that of the same guest without early ends of turns. At least one in
// atLeast turns must end early.
func endsEarly(t *testing.T, build func() ([]byte, error), does string, atLeast int) {
	m, patient := loadBuilt(t, build, Options{}), loadBuilt(t, build, Options{patient: true})
	early, turns := 0, 0
	for seed := range 100 {
		in := fmt.Sprint(does, " ", seed)
		want, usual := untilEnd(t, patient, in)
		got, costs := untilEnd(t, m, in)
		for n := range want {
			if n >= len(got) || !reflect.DeepEqual(got[n], want[n]) {
				t.Fatalf("turn %d of %d of %s gives %+v, and without early ends %+v", n+1, len(want), in, got[min(n, len(got)-1)], want[n])
			}
			if turns++; costs[n] < usual[n] {
				early++
			}
		}
	}
	if early < turns/atLeast {
		t.Errorf("%d of %d turns ended early", early, turns)
	}
	t.Logf("%d of %d turns ended early", early, turns)
}
