package rewrite

// Go compiles a function whose blocks jump to each other, and which can be entered again behind each
// call, to a loop around nested blocks: a table at its start goes to the block that a local names, and
// a jump sets the local and branches to the loop.
//
//	loop
//	  block block block            ;; one for each place to go to
//	    local.get 0  br_table 0 1 2
//	  end                          ;; place 0
//	  i32.const 2  local.set 0  br …loop
//	  end                          ;; place 1
//	  …
//
// A jump forward ends at a block that is still open around it, so that it can branch there at once:
// past the counter, past the table, and where the compiler of machine code sees where it goes.

// dispatch is such a loop while its end is not reached.
type dispatch struct {
	local  uint32
	blocks int
	table  []uint32
}

// same keeps a branch as it is.
const same = ^uint32(0)

// findDispatch looks whether the br_table that is read makes a dispatch of the innermost loop.
func (s *survey) findDispatch(in *instruction) {
	if s.before[0].op != opLocalGet {
		return
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
		return
	}
	r := *s.r
	r.pos = in.start + 1
	d := &dispatch{local: s.before[0].index, blocks: n, table: make([]uint32, r.u32()+1)}
	for i := range d.table {
		d.table[i] = r.u32()
	}
	loop.dispatch = d
}

// shortcut returns the label that a branch can have in place of its own.
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
	place := at + d.blocks - to
	if place >= len(s.frames) || s.frames[place].first != loop.first+int64(place-at) {
		return same
	}
	return uint32(len(s.frames) - 1 - place)
}
