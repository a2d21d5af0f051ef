package rewrite

import "slices"

// smallEntry is the highest cost of the code before a function's first loop that is charged with the loop.
const smallEntry = 16

// body is a function whose code is being rewritten.
type body struct {
	*found
	m       *module
	r       reader
	typ     funcType
	out     []byte
	scratch [5]uint32 // indices of the added locals
	weight  int64     // its share of the stack
	alone   bool      // it has loops and no calls: the units are in a local while it runs
}

// The locals that are added.
const (
	scratchF32 = iota
	scratchF64
	scratchV128
	scratchLength
	scratchUnits
)

// code rewrites all functions and returns the payload of the code section, without the body of WholeName, which it
// counts.
func (m *module) code() ([]byte, error) {
	r, n := m.bodies, 0
	if r.bytes != nil {
		n = r.count(2)
	}
	if r.err == nil && n != len(m.funcs)-len(m.imports) {
		r.damaged("there are %d bodies for %d functions", n, len(m.funcs)-len(m.imports))
	}
	g := graph{m: m, funcs: make([]*found, 0, n)}
	s, work := newSurvey(m), int64(0)
	inert := m.inert()
	for k := 0; k < n && r.err == nil; k++ {
		fn := uint32(len(m.imports) + k)
		code := r.part(r.count(1), "code section")
		if slices.Contains(inert, k) {
			code = reader{bytes: returnAtOnce, end: len(returnAtOnce)}
		}
		f, err := s.look(code, m.types[m.funcs[fn]])
		if err != nil {
			return nil, m.inFunc(fn, err)
		}
		if work += f.work(); work > maxWork {
			r.refuse("the first %d of %d functions would take the time to compile that is allowed for all together; use fewer packages", k+1, n)
		}
		g.funcs = append(g.funcs, f)
	}
	if err := r.done(); err != nil {
		return nil, err
	}
	g.lighten()
	out := putU(make([]byte, 0, (r.end-m.bodies.pos)*3/2), uint64(n+1))
	b := body{m: m}
	for k, f := range g.funcs {
		fn := uint32(len(m.imports) + k)
		b.found, b.r, b.typ = f, f.body, m.types[m.funcs[fn]]
		if b.rewrite(&g, k); b.r.err != nil {
			return nil, m.inFunc(fn, b.r.err)
		}
		out = append(putU(out, uint64(len(b.out))), b.out...)
	}
	return out, nil
}

// whole returns the body of the function WholeName.
func (m *module) whole(mark uint64) []byte {
	code := append(putS([]byte{0, opI64Const}, int64(mark)), opEnd)
	return append(putU(nil, uint64(len(code))), code...)
}

// rewrite writes the new code of function k to out.
func (b *body) rewrite(g *graph, k int) {
	b.alone = b.loops && !b.calls
	b.needs[scratchUnits] = b.alone
	b.declare()
	if g.light[k] {
		b.calls = g.sinks(k)
		b.weight = g.deep[k]
		clear(b.costs)
	} else {
		b.weight = g.charge(k)
		if b.alone {
			b.fetchUnits()
		}
		b.meterEntry()
	}
	b.write()
}

// declare writes the declarations of locals, including those that are added.
func (b *body) declare() {
	groups, next := b.ngroups, b.locals
	var added []byte
	for which, typ := range [...]byte{typeF32, typeF64, typeV128, typeI32, typeI64} {
		if !b.needs[which] {
			continue
		}
		b.scratch[which] = next
		next++
		groups++
		added = append(added, 1, typ)
	}
	b.out = putU(b.out[:0], uint64(groups))
	b.out = append(append(b.out, b.groups...), added...)
}

// write writes the code. A function that calls others counts the depth, and one that is alone keeps the units in a
// local. Their code becomes a block, after which depth or units are given back, and every return becomes a branch to
// its end.
func (b *body) write() {
	r := &b.r
	nesting, cost, nan, branch := 0, 0, 0, 0
	whole := b.calls || b.alone
	if whole {
		b.enter()
	}
	from := r.pos // start of what is not copied yet
	late, arms := b.late, b.arms
	for r.more() {
		in := b.m.next(r)
		switch in.op {
		case opLocalGet, opLocalTee:
			if len(late) > 0 && late[0].at == in.start {
				b.copy(from, r.pos)
				from = r.pos
				b.canonical(in.op, late[0].typ)
				late = late[1:]
			}
		case opBlock, opIf:
			nesting++
		case opLoop:
			nesting++
			cost++
			b.copy(from, r.pos)
			from = r.pos
			if b.costs[cost] > 0 {
				b.check(cost)
			}
		case opEnd:
			if nesting == 0 && whole {
				b.copy(from, in.start)
				from = in.start
				b.leave()
			}
			nesting--
			if len(arms) > 0 && arms[0] == in.start {
				arms = arms[1:]
				cost++
				if b.costs[cost] > 0 {
					b.copy(from, r.pos)
					from = r.pos
					b.charge(cost)
				}
			}
		case opBr:
			if to := b.branches[branch]; to != same {
				b.copy(from, in.start)
				from = r.pos
				b.op(opBr, to)
			}
			branch++
		case opReturn:
			if whole {
				b.copy(from, in.start)
				from = r.pos
				b.op(opBr, uint32(nesting))
			}
		case opCallIndirect:
			b.copy(from, in.start)
			from = in.start
			b.noteSite(in.start)
		case opCall, opRefFunc:
			b.copy(from, in.start)
			from = r.pos
			if in.op == opCall {
				b.noteSite(in.start)
			}
			b.op(in.op, b.m.shift(in.index))
		case opMisc:
			if in.sub == miscMemoryCopy || in.sub == miscMemoryFill {
				b.copy(from, in.start)
				from = in.start
				b.chargeLength()
			}
		default:
			typ := nanOf(&in)
			if typ == 0 {
				continue
			}
			if b.nans[nan] {
				b.copy(from, r.pos)
				from = r.pos
				b.canonical(in.op, typ)
			}
			nan++
		}
	}
	b.copy(from, r.pos)
}

// noteSite records a call site.
func (b *body) noteSite(at int) {
	if b.m.options.Sites {
		b.out = putS(append(b.out, opI32Const), int64(at-b.m.bodies.pos))
		b.op(opGlobalSet, b.m.site())
	}
}

// copy appends a range of the input unchanged.
func (b *body) copy(from, to int) { b.out = append(b.out, b.r.bytes[from:to]...) }

func (b *body) op(op byte, index uint32) { b.out = putU(append(b.out, op), uint64(index)) }

// meterEntry charges for a function's code outside of its loops. If a loop follows, the check of the loop is enough.
func (b *body) meterEntry() {
	switch straight := b.straight && b.costs[1] > 0; {
	case straight && b.costs[0] <= smallEntry:
		b.costs[1] += b.costs[0]
	case straight:
		b.charge(0)
	default:
		b.check(0)
	}
}

// getUnits and setUnits push the units and pop them.
func (b *body) getUnits() {
	if b.alone {
		b.op(opLocalGet, b.scratch[scratchUnits])
		return
	}
	b.op(opGlobalGet, b.m.units())
}

func (b *body) setUnits() {
	if b.alone {
		b.op(opLocalSet, b.scratch[scratchUnits])
		return
	}
	b.op(opGlobalSet, b.m.units())
}

// fetchUnits and returnUnits move the units of a function that is alone between the global and its local.
func (b *body) fetchUnits() {
	b.op(opGlobalGet, b.m.units())
	b.op(opLocalSet, b.scratch[scratchUnits])
}

func (b *body) returnUnits() {
	b.op(opLocalGet, b.scratch[scratchUnits])
	b.op(opGlobalSet, b.m.units())
}

// charge subtracts one of the costs, that of the code that follows, from the units.
func (b *body) charge(k int) {
	units := dampened(b.costs[k])
	if k < len(b.switches) && b.switches[k] {
		units = armCharge(b.costs[k])
	}
	b.getUnits()
	b.out = putS(append(b.out, opI64Const), units)
	b.out = append(b.out, opI64Sub)
	b.setUnits()
}

// check charges, and calls the engine if no units are left.
func (b *body) check(k int) {
	b.charge(k)
	b.look()
}

// look calls the engine if no units are left.
func (b *body) look() {
	b.getUnits()
	b.out = append(b.out, opI64Const, 0, opI64LtS, opIf, blockEmpty)
	if b.alone {
		b.returnUnits()
	}
	b.op(opCall, b.m.hook())
	if b.alone {
		b.fetchUnits()
	}
	b.out = append(b.out, opEnd)
}

// chargeLength charges a unit for each 64 bytes of a bulk operation. The number of bytes is on top of the stack.
func (b *body) chargeLength() {
	n := b.scratch[scratchLength]
	b.op(opLocalTee, n)
	b.getUnits()
	b.op(opLocalGet, n)
	b.out = append(b.out, opI64ExtendU, opI64Const, 6, opI64ShrU, opI64Sub)
	b.setUnits()
	b.look()
}

// enter takes the function's share of the stack, and traps if too little is left.
func (b *body) enter() {
	if b.calls {
		b.descend()
	}
	b.out = append(b.out, opBlock)
	b.out = b.m.blockType(b.out, b.typ.results)
}

func (b *body) descend() {
	depth := b.m.depth()
	b.op(opGlobalGet, depth)
	b.out = putS(append(b.out, opI32Const), b.weight)
	b.out = append(b.out, opI32Sub)
	b.op(opGlobalSet, depth)
	b.op(opGlobalGet, depth)
	b.out = append(b.out, opI32Const, 0, opI32LtS, opIf, blockEmpty, opUnreachable, opEnd)
}

// leave ends the block of enter and gives the share of the stack, or the units, back.
func (b *body) leave() {
	b.out = append(b.out, opEnd)
	if b.alone {
		b.returnUnits()
		return
	}
	depth := b.m.depth()
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
			return putS(out, int64(len(m.types)+ownTypes+i))
		}
	}
	i := len(m.addedTypes)
	m.addedTypes = append(m.addedTypes, string(results))
	m.added = append(m.added, 0x60, 0)
	m.added = append(putU(m.added, uint64(len(results))), results...)
	return putS(out, int64(len(m.types)+ownTypes+i))
}
