package rewrite

// mostCost is what the work behind one check counts at most: where a function is long, most of it
// is not run each time.
const mostCost = 100

// body is a function while its code is written anew.
type body struct {
	m       *module
	r       reader
	typ     funcType
	params  uint32
	locals  uint32 // of the input, parameters included
	groups  []byte // its local declarations, without their count
	ngroups int

	costs []int64 // of the entry and of each loop, in order
	calls bool    // it calls something
	needs [4]bool // scratch locals: see the constants below

	out     []byte
	scratch [5]uint32 // indices of the added locals
	weight  int64     // its share of the stack
}

const (
	scratchF32 = iota
	scratchF64
	scratchV128
	scratchLength
	scratchUnits
)

// code rewrites all functions and returns the code section's payload.
func (m *module) code() ([]byte, error) {
	if m.bodies.bytes == nil {
		return nil, nil
	}
	r := m.bodies
	n := r.count(2)
	if r.err == nil && n != len(m.funcs)-len(m.imports) {
		r.damaged("there are %d bodies for %d functions", n, len(m.funcs)-len(m.imports))
	}
	out := putU(make([]byte, 0, (r.end-r.pos)*3/2), uint64(n))
	for k := 0; k < n && r.err == nil; k++ {
		b := body{m: m, r: r.part(r.count(1), "code section"), typ: m.types[m.funcs[len(m.imports)+k]]}
		if r.err != nil {
			break
		}
		if err := b.rewrite(); err != nil {
			return nil, err
		}
		out = append(putU(out, uint64(len(b.out))), b.out...)
	}
	if err := r.done(); err != nil {
		return nil, err
	}
	return out, nil
}

func (b *body) rewrite() error {
	b.readLocals()
	start := b.r.pos
	b.survey()
	if b.r.err != nil {
		return b.r.err
	}
	b.r.pos = start
	b.declare()
	b.write()
	return b.r.err
}

func (b *body) readLocals() {
	r := &b.r
	b.params = uint32(len(b.typ.params))
	total := uint64(b.params)
	b.ngroups = r.count(2)
	from := r.pos
	for range b.ngroups {
		total += uint64(r.u32())
		checkType(r, r.byte())
	}
	if total > 50_000 {
		r.refuse("a function has %d locals, at most 50000 are allowed; split it", total)
		return
	}
	b.locals = uint32(total)
	b.groups = r.bytes[from:r.pos]
}

// survey looks at the code once: what does it cost, what does it need.
func (b *body) survey() {
	r := &b.r
	b.costs = []int64{1}
	at := []int{0} // for each block around: the cost that it counts to
	for r.more() {
		in := b.m.next(r)
		here := at[len(at)-1]
		b.costs[here]++
		switch in.op {
		case opBlock, opIf:
			at = append(at, here)
		case opLoop:
			b.costs = append(b.costs, 1)
			at = append(at, len(b.costs)-1)
		case opEnd:
			at = at[:len(at)-1]
			if len(at) == 0 {
				if r.pos != r.end {
					r.damaged("there is code behind the end of a function")
				}
				b.weight = 1 + (int64(b.locals)+b.costs[0]/8)/16
				return
			}
		case opCall, opCallIndirect:
			b.calls = true
		case opMisc:
			b.needs[scratchLength] = b.needs[scratchLength] || in.sub == miscMemoryCopy || in.sub == miscMemoryFill
		case opSIMD:
			b.needs[scratchV128] = b.needs[scratchV128] || nanLanes(in.sub) != 0
		default:
			switch nanType(in.op) {
			case typeF32:
				b.needs[scratchF32] = true
			case typeF64:
				b.needs[scratchF64] = true
			}
		}
	}
	r.damaged("a function has no end")
}

// declare writes the declarations of locals, with those that are added.
func (b *body) declare() {
	groups, next := b.ngroups, b.locals
	var added []byte
	add := func(which int, typ byte) {
		b.scratch[which] = next
		next++
		groups++
		added = append(added, 1, typ)
	}
	for which, typ := range []byte{typeF32, typeF64, typeV128, typeI32} {
		if b.needs[which] {
			add(which, typ)
		}
	}
	add(scratchUnits, typeI64)
	b.out = make([]byte, 0, 2*(b.r.end-b.r.pos)+64)
	b.out = putU(b.out, uint64(groups))
	b.out = append(append(b.out, b.groups...), added...)
}

// write writes the code. A function that calls others counts the depth: its code becomes a block,
// behind which the depth is given back, and every return a branch to the end of it.
func (b *body) write() {
	r := &b.r
	nesting := 0
	cost := 1
	b.check(b.costs[0])
	if b.calls {
		b.enter()
	}
	for r.more() {
		in := b.m.next(r)
		bytes := r.bytes[in.start:r.pos]
		switch in.op {
		case opBlock, opIf:
			nesting++
			b.out = append(b.out, bytes...)
		case opLoop:
			nesting++
			b.out = append(b.out, bytes...)
			b.check(b.costs[cost])
			cost++
		case opEnd:
			if nesting == 0 && b.calls {
				b.leave()
			}
			nesting--
			b.out = append(b.out, opEnd)
		case opReturn:
			if b.calls {
				b.out = putU(append(b.out, opBr), uint64(nesting))
			} else {
				b.out = append(b.out, opReturn)
			}
		case opCall, opRefFunc:
			b.out = putU(append(b.out, in.op), uint64(b.m.shift(in.fn)))
		case opMisc:
			if in.sub == miscMemoryCopy || in.sub == miscMemoryFill {
				b.chargeLength()
			}
			b.out = append(b.out, bytes...)
		case opSIMD:
			b.out = append(b.out, bytes...)
			b.canonicalLanes(nanLanes(in.sub))
		default:
			b.out = append(b.out, bytes...)
			b.canonical(nanType(in.op))
		}
	}
}

func (b *body) op(op byte, index uint32) { b.out = putU(append(b.out, op), uint64(index)) }

// check takes the cost of what follows from the units, and calls the engine where none are left.
func (b *body) check(cost int64) {
	units, scratch := b.m.units(), b.scratch[scratchUnits]
	b.op(opGlobalGet, units)
	b.out = putS(append(b.out, opI64Const), min(cost, mostCost))
	b.out = append(b.out, opI64Sub)
	b.op(opLocalTee, scratch)
	b.op(opGlobalSet, units)
	b.op(opLocalGet, scratch)
	b.out = append(b.out, opI64Const, 0, opI64LtS, opIf, blockEmpty)
	b.op(opCall, b.m.hook())
	b.out = append(b.out, opEnd)
}

// chargeLength takes a unit for each 64 bytes that a bulk operation is about to move; their number
// is on top of the stack.
func (b *body) chargeLength() {
	units, n := b.m.units(), b.scratch[scratchLength]
	b.op(opLocalTee, n)
	b.op(opGlobalGet, units)
	b.op(opLocalGet, n)
	b.out = append(b.out, opI64ExtendU, opI64Const, 6, opI64ShrU, opI64Sub)
	b.op(opGlobalSet, units)
}

// enter takes the function's share of the stack, and traps where there is none.
func (b *body) enter() {
	depth := b.m.depth()
	b.op(opGlobalGet, depth)
	b.out = putS(append(b.out, opI32Const), b.weight)
	b.out = append(b.out, opI32Sub)
	b.op(opGlobalSet, depth)
	b.op(opGlobalGet, depth)
	b.out = append(b.out, opI32Const, 0, opI32LtS, opIf, blockEmpty, opUnreachable, opEnd)
	b.out = append(b.out, opBlock)
	b.out = b.m.blockType(b.out, b.typ.results)
}

// leave ends the block of enter and gives the share back.
func (b *body) leave() {
	depth := b.m.depth()
	b.out = append(b.out, opEnd)
	b.op(opGlobalGet, depth)
	b.out = putS(append(b.out, opI32Const), b.weight)
	b.out = append(b.out, opI32Add)
	b.op(opGlobalSet, depth)
}

// blockType appends the type of a block with these results.
func (m *module) blockType(out, results []byte) []byte {
	switch len(results) {
	case 0:
		return append(out, blockEmpty)
	case 1:
		return append(out, results[0])
	}
	for i, t := range m.addedTypes {
		if t == string(results) {
			return putS(out, int64(len(m.types)+1+i))
		}
	}
	m.addedTypes = append(m.addedTypes, string(results))
	m.added = append(m.added, 0x60, 0)
	m.added = append(putU(m.added, uint64(len(results))), results...)
	return putS(out, int64(len(m.types)+len(m.addedTypes)))
}

// canonical makes a NaN on top of the stack the one with no other bits than it needs.
func (b *body) canonical(typ byte) {
	switch typ {
	case typeF32:
		n := b.scratch[scratchF32]
		b.op(opLocalTee, n)
		b.out = append(b.out, opF32Const, 0, 0, 0xc0, 0x7f)
		b.op(opLocalGet, n)
		b.op(opLocalGet, n)
		b.out = append(b.out, opF32Eq, opSelect)
	case typeF64:
		n := b.scratch[scratchF64]
		b.op(opLocalTee, n)
		b.out = append(b.out, opF64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f)
		b.op(opLocalGet, n)
		b.op(opLocalGet, n)
		b.out = append(b.out, opF64Eq, opSelect)
	}
}

// canonicalLanes does it for each lane of a vector.
func (b *body) canonicalLanes(typ byte) {
	nan, eq := []byte{0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f}, simdF32x4Eq
	switch typ {
	case 0:
		return
	case typeF64:
		nan, eq = []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f}, simdF64x2Eq
	}
	n := b.scratch[scratchV128]
	b.op(opLocalTee, n)
	b.op(opSIMD, simdConst)
	b.out = append(append(b.out, nan...), nan...)
	b.op(opLocalGet, n)
	b.op(opLocalGet, n)
	b.op(opSIMD, eq)
	b.op(opSIMD, simdBitselect)
}
