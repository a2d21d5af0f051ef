package admin

import (
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestCirclesAreFound(t *testing.T) {
	t.Parallel()
	claim := func(run string) *flawless.Claim { return &flawless.Claim{Run: run, Call: 1} }
	x := flawless.State{Name: "x", Holder: claim("a"), Queue: []flawless.Claim{*claim("b"), *claim("d")}}
	y := flawless.State{Name: "y", Holder: claim("b"), Queue: []flawless.Claim{*claim("c")}}
	z := flawless.State{Name: "z", Holder: claim("c")}
	also := flawless.State{Name: "also", Holder: claim("a")}
	if got := circles([]flawless.State{x, y, z, also}); len(got) != 0 {
		t.Errorf("a queue is a circle: %v", got)
	}
	z.Queue = []flawless.Claim{*claim("a")}
	for _, states := range [][]flawless.State{{x, y, z, also}, {also, z, y, x}, {y, also, x, z}} {
		got := circles(states)
		if len(got) != 1 || len(got[0]) != 3 {
			t.Fatalf("the circles are %v", got)
		}
		for _, k := range got[0] {
			if want := map[string]knot{"a": {"a", "x", "z"}, "b": {"b", "y", "x"}, "c": {"c", "z", "y"}}[k.Run]; k != want {
				t.Errorf("%v, want %v", k, want)
			}
		}
	}
}
