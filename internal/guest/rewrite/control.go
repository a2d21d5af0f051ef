package rewrite

// The control instructions of a survey.

// top returns the innermost block. There is always one before the end of the function.
func (s *survey) top() *frame { return &s.frames[len(s.frames)-1] }

func (s *survey) control(in *instruction) {
	if in.op != opBlock && in.op != opLoop && in.op != 0x01 {
		s.plain = false
	}
	switch in.op {
	case opUnreachable:
		s.unreachable()
	case opBlock, opLoop, opIf:
		s.open(in)
	case opElse:
		f := s.close()
		if f.op != opIf {
			s.r.damaged("there is an else without an if")
		}
		f.op, f.unreachable = opElse, false
		s.enter(f)
	case opEnd:
		s.end(in)
	case opBr:
		to := s.shortcut(in)
		if s.found.branches = append(s.found.branches, to); to == same {
			to = in.index
		}
		s.popAll(s.label(to))
		s.unreachable()
	case opBrIf:
		s.found.effort.blocks++ // for the path that does not branch
		s.pop(typeI32)
		types := s.label(in.index)
		s.popAll(types)
		s.pushAll(types)
	case opBrTable:
		s.pop(typeI32)
		s.table(in)
		if !s.findDispatch(in) {
			s.findArms(in)
		}
		s.unreachable()
	case opReturn:
		s.popAll(s.frames[0].results)
		s.unreachable()
	case opCall:
		s.found.calls = true
		if int(in.index) >= len(s.m.imports) {
			s.found.sites = append(s.found.sites, site{in.index, s.top().cost})
		}
		s.apply(s.m.types[s.m.funcs[in.index]])
	case opCallIndirect:
		s.found.calls, s.found.indirect = true, true
		s.found.costs[s.top().cost] += indirectCost
		if s.tableType(in.other) != typeFuncref {
			s.r.damaged("call_indirect uses a table of externref")
		}
		s.pop(typeI32)
		s.apply(s.m.types[in.index])
	}
}

func (s *survey) apply(t funcType) {
	s.popAll(t.params)
	s.pushAll(t.results)
}

// unreachable drops the operands of the block: the instructions that follow are never executed.
func (s *survey) unreachable() {
	f := s.top()
	s.stack = s.stack[:f.height]
	f.unreachable = true
}

func (s *survey) open(in *instruction) {
	if in.op == opIf {
		s.pop(typeI32)
	}
	f := frame{op: in.op, cost: s.top().cost, nest: s.top().nest}
	f.params, f.results = s.blockTypes(in.block)
	s.found.effort.blocks += 2
	if in.op == opLoop {
		s.found.effort.blocks += 4 // including the check of the units
		s.found.effort.loops++
		f.nest++
		s.found.effort.nest = max(s.found.effort.nest, f.nest)
		s.found.straight = s.found.straight || s.plain
		s.plain = false
		s.merged = append(s.merged, f.cost)
		s.found.costs = append(s.found.costs, 1)
		f.cost = len(s.found.costs) - 1
		f.loop = f.cost
	}
	s.popAll(f.params)
	s.enter(f)
}

// enter enters a block whose parameters were popped.
func (s *survey) enter(f frame) {
	f.height, f.first = len(s.stack), s.found.all
	s.frames = append(s.frames, f)
	s.pushAll(f.params)
}

// close leaves the innermost block and pops its results.
func (s *survey) close() frame {
	f := *s.top()
	s.popAll(f.results)
	if s.r.err == nil && len(s.stack) != f.height {
		s.r.damaged("%d values are left on the stack at the end of a block", len(s.stack)-f.height)
	}
	if len(s.frames) > 1 || s.r.err == nil {
		s.frames = s.frames[:len(s.frames)-1]
	}
	return f
}

func (s *survey) end(in *instruction) {
	f := s.close()
	if f.op == opIf && string(f.params) != string(f.results) {
		s.r.damaged("an if without else takes (%s) and leaves (%s)", typeNames(f.params), typeNames(f.results))
	}
	if f.again {
		s.merged[f.loop] = -1
		s.found.loops = true
	}
	if len(s.frames) == 0 {
		return
	}
	s.pushAll(f.results)
	if f.arm {
		s.beginArm(in)
	}
}

// blockTypes returns the parameters and results of a block.
func (s *survey) blockTypes(t int64) (params, results []byte) {
	switch {
	case t >= 0 && t < int64(len(s.m.types)):
		return s.m.types[t].params, s.m.types[t].results
	case t == -64:
		return nil, nil
	case t < 0 && t > -64:
		typ := byte(t) & 0x7f
		checkType(s.r, typ)
		return nil, s.one[typ : typ+1]
	}
	s.r.damaged("a block has the type %d, which does not exist", t)
	return nil, nil
}

// label returns the types that a branch to an enclosing block carries, and records the branch.
func (s *survey) label(index uint32) []byte {
	if int64(index) >= int64(len(s.frames)) {
		s.r.damaged("a branch leaves %d blocks, but there are %d", index, len(s.frames))
		return nil
	}
	f := &s.frames[len(s.frames)-1-int(index)]
	s.found.effort.blocks++
	if f.op == opLoop {
		s.found.effort.loops++
		f.again = true
		return f.params
	}
	return f.results
}

// table checks that all labels of a br_table carry the types of the last one.
func (s *survey) table(in *instruction) {
	r := *s.r
	r.pos = in.start + 1
	n := r.u32()
	from := r.pos
	for range n {
		r.u32()
	}
	last := s.label(r.u32())
	r.pos = from
	kept := append([]operand(nil), s.stack[s.top().height:]...)
	s.popAll(last)
	for range n {
		types := s.label(r.u32())
		s.found.effort.arity += int64(len(types))
		if s.r.err != nil || 1000*s.found.effort.arity > maxFunctionWork {
			return // run refuses the function after this instruction
		}
		if string(types) == string(last) {
			continue
		}
		if len(types) != len(last) {
			s.r.damaged("the branches of br_table carry (%s) and (%s)", typeNames(types), typeNames(last))
			return
		}
		s.stack = append(s.stack[:s.top().height], kept...)
		s.popAll(types)
	}
}
