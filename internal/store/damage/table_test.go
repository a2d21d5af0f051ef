package damage

import (
	"slices"
	"testing"

	"github.com/flawless-engine/flawless/internal/store/key"
)

// TestNoFamilyIsForgotten: damage of each family of keys is listed in exactly one way.
func TestNoFamilyIsForgotten(t *testing.T) {
	t.Parallel()
	covered := append([]key.Family{key.Binary}, lists...)
	for _, f := range kept {
		if covered = append(covered, f.Family); f.kind == "" || f.todo == "" {
			t.Errorf("family %c has no name, or does not say what to do: %+v", f.Family, f)
		}
	}
	for _, f := range ofRuns {
		if covered = append(covered, f.Family); f.part == "" || f.todo == "" {
			t.Errorf("family %c has no name, or does not say what to do: %+v", f.Family, f)
		}
	}
	for _, f := range key.Families() {
		n := 0
		for _, c := range covered {
			if c == f {
				n++
			}
		}
		if n != 1 {
			t.Errorf("family %c is in the tables %d times, want once", f, n)
		}
	}
	for _, f := range covered {
		if !slices.Contains(key.Families(), f) {
			t.Errorf("family %c is in the tables, but does not exist", f)
		}
	}
}
