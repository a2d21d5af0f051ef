package rewrite

import (
	"maps"
	"slices"
)

// An interpreter is a loop around a switch with an arm for each of its instructions. Each time, one arm of hundreds is
// executed, so the loop cannot be charged for all of them: limits would be off by a factor of a hundred. The arms of a
// large switch are charged each for itself, when it is entered:
//
//	loop
//	  block block block            ;; one for each target
//	    …  br_table 0 1 2 …
//	  end                          ;; target 0: an arm begins
//	  …  br …loop
//	  end                          ;; target 1: an arm begins
//	  …
//
// An arm reaches to the next one. What follows the block around the last one counts to the loop again.

// manyArms is how many targets make a br_table a large switch.
const manyArms = 32

// findArms marks the blocks at whose ends the arms of a large switch begin. The labels of the br_table were checked.
func (s *survey) findArms(in *instruction) {
	r := *s.r
	r.pos = in.start + 1
	targets := map[uint32]bool{}
	for range r.u32() + 1 {
		targets[r.u32()] = true
		if r.err != nil {
			return
		}
	}
	if len(targets) < manyArms {
		return
	}
	// Blocks around the switch that are not targets, too: branches of the arms lead to their ends. One to a loop repeats
	// it, and one to the outermost block returns. To open these blocks costs nothing.
	for k := len(s.frames) - 1; k > 0 && k >= len(s.frames)-1-int(slices.Max(slices.Collect(maps.Keys(targets)))); k-- {
		if f := &s.frames[k]; f.op == opBlock && !f.arm {
			f.arm = true
			s.found.costs[f.cost]--
			s.markSwitch(f.cost) // of the loop, or of the arm, that the switch is in
		}
	}
}

// beginArm lets the instructions after the end of a block count to a cost of their own.
func (s *survey) beginArm(end *instruction) {
	s.found.costs = append(s.found.costs, 0)
	s.merged = append(s.merged, -1)
	s.found.arms = append(s.found.arms, end.start)
	s.top().cost = len(s.found.costs) - 1
	s.markSwitch(s.top().cost)
}

func (s *survey) markSwitch(cost int) {
	for len(s.found.switches) <= cost {
		s.found.switches = append(s.found.switches, false)
	}
	s.found.switches[cost] = true
}

// armCharge returns what is charged for the instructions of an arm. Most of a long one is for rare cases.
func armCharge(cost int64) int64 {
	const full, rest = 16, 32
	if cost <= full {
		return cost
	}
	return full + (cost-full)/rest
}
