package rewrite

// Go compiles a function with arbitrary jumps, which can also be resumed after each call, to a loop around nested
// blocks. A table at its start branches to the block that a local names, and a jump sets the local and branches to
// the loop.
//
//	loop
//	  block block block            ;; one for each target
//	    local.get 0  br_table 0 1 2
//	  end                          ;; target 0
//	  i32.const 2  local.set 0  br …loop
//	  end                          ;; target 1
//	  …
//
// The block of a target further down is still open at the jump, so a forward jump can branch there directly. It skips
// the meter and the table, and the compiler sees where it goes.

// dispatch is such a loop before its end.
type dispatch struct {
	local  uint32
	blocks int
	table  []uint32
}

// same means that a branch keeps its label.
const same = ^uint32(0)

// findDispatch makes the innermost loop a dispatch if a br_table is the start of one, and reports whether it is.
func (s *survey) findDispatch(in *instruction) bool {
	if s.before[0].op != opLocalGet {
		return false
	}
	n := 0
	for ; n < len(s.frames)-1; n++ {
		f := &s.frames[len(s.frames)-1-n]
		if f.first != s.found.all-2-int64(n) || len(f.params)+len(f.results) > 0 || f.op != opBlock {
			break
		}
	}
	loop := &s.frames[len(s.frames)-1-n]
	if loop.op != opLoop || loop.first != s.found.all-2-int64(n) || len(loop.params) > 0 {
		return false
	}
	r := *s.r
	r.pos = in.start + 1
	d := &dispatch{local: s.before[0].index, blocks: n, table: make([]uint32, r.u32()+1)}
	for i := range d.table {
		d.table[i] = r.u32()
	}
	loop.dispatch = d
	return true
}

// shortcut returns a label that leads a branch directly to its target, or same.
func (s *survey) shortcut(in *instruction) uint32 {
	at := len(s.frames) - 1 - int(in.index)
	if at < 0 || s.before[0].op != opLocalSet || s.before[1].op != opI32Const {
		return same
	}
	loop := &s.frames[at]
	d := loop.dispatch
	if d == nil || d.local != s.before[0].index {
		return same
	}
	to := int(d.table[min(int64(s.before[1].index), int64(len(d.table)-1))])
	if to >= d.blocks {
		return same
	}
	target := at + d.blocks - to
	if target >= len(s.frames) || s.frames[target].first != loop.first+int64(target-at) {
		return same
	}
	return uint32(len(s.frames) - 1 - target)
}
