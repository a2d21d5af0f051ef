package replay

import (
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestEndsAreCompared(t *testing.T) {
	t.Parallel()
	failed := func(kind, message string) *flawless.Ended {
		return &flawless.Ended{Failure: &flawless.Failure{Kind: kind, Message: message}}
	}
	completed := func(output string) *flawless.Ended { return &flawless.Ended{Output: []byte(output)} }
	for _, row := range []struct {
		name          string
		logged, asked *flawless.Ended
		same          bool
	}{
		{"neither has ended", nil, nil, true},
		{"only the log has an end", completed("1"), nil, false},
		{"only the replay has an end", nil, completed("1"), false},
		{"the engine found that nothing can wake the run", failed("stuck", "x"), nil, true},
		{"the same output", completed(`{"a":1,"b":2}`), completed(`{"b":2,"a":1}`), true},
		{"another output", completed("1"), completed("2"), false},
		{"an output and a failure", completed("1"), failed("error", "x"), false},
		{"the same error", failed("error", "x"), failed("error", "x"), true},
		{"another error of the code", failed("error", "x"), failed("error", "y"), false},
		{"another panic", failed("panic", "x"), failed("panic", "y"), false},
		{"another kind", failed("error", "x"), failed("panic", "x"), false},
		{"a trap in other words", failed("trap", "x"), failed("trap", "y"), true},
		{"a limit in other words", failed("limit", "x"), failed("limit", "y"), true},
		{"out of memory in other words", failed("memory", "x"), failed("memory", "y"), true},
		{"an exit in other words", failed("exit", "x"), failed("exit", "y"), true},
		{"a trap and a limit", failed("trap", "x"), failed("limit", "x"), false},
	} {
		if d := new(Player).compareEnds(row.logged, row.asked); (d == nil) != row.same {
			t.Errorf("%s: %v", row.name, d)
		}
	}
}

// TestBothSidesOfDivergenceHaveOneNumber: the guest numbers a call that the log does not have behind those that it has.
func TestBothSidesOfDivergenceHaveOneNumber(t *testing.T) {
	t.Parallel()
	call := func(n int, kind string) flawless.Call { return flawless.Call{N: n, Kind: kind} }
	logged := []flawless.Call{call(2, "http"), call(3, "sleep"), call(4, "send")}
	asked := []flawless.Call{call(2, "http"), call(4, "send"), call(5, "sleep")}
	d := (&Player{}).compare(logged, asked)
	if d == nil || d.Call != 3 || d.Logged.N != 3 || d.Asked.N != 3 || d.Asked.Kind != "sleep" {
		t.Errorf("it is %+v", d)
	}
	if asked[2].N != 5 {
		t.Error("the call of the guest was changed")
	}
	if d = (&Player{}).compare(logged[:1], asked); d == nil || d.Call != 4 || d.Logged != nil || d.Asked.N != 4 {
		t.Errorf("with calls that the log does not have, it is %+v", d)
	}
}
