package rewrite

import "sort"

// The limits of one function. Compilers stay far below them.
const (
	mostLocals   = 49_000
	mostOperands = 1 << 16
)

// survey goes through a function's code once: it checks its types and finds out what it costs and
// what it needs. Only valid code may be rewritten, since what is added (globals, locals, types,
// blocks) could give a meaning to what had none.
type survey struct {
	m      *module
	r      *reader
	params []byte
	locals []locals
	quick  []byte // the types of the first locals
	stack  []operand
	frames []frame

	gets  []get // of locals that are floats
	sets  []set
	holds []held // of the locals

	found  found
	merged []int          // for each cost, where its instructions count to in its place, -1 where they count to it
	plain  bool           // still no branch, call or loop since the entry
	before [2]instruction // the last two, the later one first
	one    [128]byte      // each byte at its own place: lists of one type
}

// found is what is kept of a function until it is written.
type found struct {
	body     reader // behind the declarations of locals
	groups   []byte // these, as they are
	ngroups  int
	locals   uint32   // their number, parameters included
	costs    []int64  // of the entry and of each loop, in order; 0 where a loop is never gone through again
	sites    []site   // its calls of functions of the module
	branches []uint32 // for each br, in order: the label it gets
	nans     []bool   // for each instruction that may leave a NaN, in order: it has to be made canonical
	late     []get    // the local.get and local.tee behind which it has to be, in order
	needs    [5]bool  // locals for canonical, chargeLength and alone
	all      int64    // instructions
	most     int      // operands at one time
	effort   effort
	calls    bool // it calls something
	indirect bool // it calls what is in a table
	loops    bool // there is a loop that is gone through again
	straight bool // the first loop is reached straight from the entry
}

// site is a call, and the cost that it counts to.
type site struct {
	fn   uint32
	cost int
}

// locals are those before end that come after the group before.
type locals struct {
	end uint32
	typ byte
}

// operand is a value on the stack. Where it may be a NaN, nan is its place in nans plus one. Where it was
// got from a local that is a float, get is its place in gets plus one.
type operand struct {
	typ   byte
	lanes byte // the type of the lanes that may be NaN
	nan   uint32
	get   uint32
	plain bool // a number
}

// get is a local.get or local.tee of a float.
type get struct {
	local uint32
	typ   byte
	at    int
	blind bool // what it got is for an instruction that is blind
}

// set is a local.set or local.tee of a float. nan is the place in nans plus one of what may be a NaN, 0 of what
// comes from elsewhere: that may be a NaN whose bits are to stay, such as one with a sign.
type set struct{ local, nan uint32 }

// held counts where a local may be set to a NaN, and where it is got for what is not blind.
type held struct {
	sets, gets int
	other      bool // it is set to what comes from elsewhere
}

func (h held) late() bool { return h.sets > 0 && h.gets <= h.sets && !h.other }

// frame is a block while its end is not reached.
type frame struct {
	op              byte
	params, results []byte
	height          int // of the stack below it
	unreachable     bool
	cost            int   // the cost that its instructions count to
	first           int64 // the number of the instruction that opens it
	nest            int64 // loops around it, itself included
	again           bool  // something branches back to it
	dispatch        *dispatch
}

func newSurvey(m *module) *survey {
	s := &survey{m: m, quick: make([]byte, 0, 2*maxParams)}
	for i := range s.one {
		s.one[i] = byte(i)
	}
	return s
}

// look goes through the next function, of the type t, whose code r reads.
func (s *survey) look(r reader, t funcType) (*found, error) {
	s.r, s.params = &r, t.params
	s.stack, s.quick, s.locals = s.stack[:0], s.quick[:0], s.locals[:0]
	s.gets, s.sets = s.gets[:0], s.sets[:0]
	s.found = found{costs: []int64{1}}
	s.merged = append(s.merged[:0], -1)
	s.frames = append(s.frames[:0], frame{op: opBlock, results: t.results})
	s.plain, s.before = true, [2]instruction{}
	s.found.groups, s.found.ngroups = s.readLocals()
	s.found.locals, s.found.body = s.count(), r
	s.run()
	s.settle()
	for k := len(s.found.costs) - 1; k > 0; k-- {
		if to := s.merged[k]; to >= 0 {
			s.found.costs[to] += s.found.costs[k]
			s.found.costs[k] = 0
		}
	}
	for k := range s.found.sites {
		for to := s.merged[s.found.sites[k].cost]; to >= 0; to = s.merged[to] {
			s.found.sites[k].cost = to
		}
	}
	f := s.found
	if work := f.work(); work > maxFunctionWork {
		r.refuse("its %d instructions, %d locals, %d branches and blocks, and loops in %d levels would take %.1f times as long to compile as is allowed; split it",
			f.all, f.locals, f.effort.blocks, f.effort.nest, float64(work)/maxFunctionWork)
	}
	return &f, r.err
}

// run checks the code up to the end of the function.
func (s *survey) run() {
	r := s.r
	for r.more() {
		in := s.m.next(r)
		if r.err != nil {
			return
		}
		s.found.all++
		s.found.costs[s.top().cost]++
		s.step(&in)
		s.before[1], s.before[0] = s.before[0], in
		switch {
		case len(s.stack) > mostOperands:
			r.refuse("a function needs more than %d values on its stack; split it", mostOperands)
		case s.found.all > maxInstructions:
			r.refuse("a function has more than %d instructions; split it", maxInstructions)
		case 1000*s.found.effort.arity > maxFunctionWork:
			r.refuse("the blocks, branches and calls of a function pass on more than %d values; split it, or pass them in memory", s.found.effort.arity)
		}
		s.found.most = max(s.found.most, len(s.stack))
		if len(s.frames) == 0 {
			if r.err == nil && r.pos != r.end {
				r.damaged("there is code behind the end of a function")
			}
			return
		}
	}
	r.damaged("a function has no end")
}

func (s *survey) step(in *instruction) {
	switch op := in.op; {
	case op >= 0x45 && op <= 0xc4:
		typ, n, out := numeric(op)
		blind := nanBlind(op)
		for range n {
			s.use(s.pop(typ), blind, typ)
		}
		s.pushNaN(out, nanType(op))
		s.stack[len(s.stack)-1].plain = op >= 0xb2 && op <= 0xb5 || op >= 0xb7 && op <= 0xba // from integers
	case op >= opLocalGet && op <= opLocalTee:
		s.local(in)
	case op == opGlobalGet, op == opGlobalSet:
		s.global(in)
	case op >= opI32Const && op <= opF64Const:
		s.push(typeI32 - (op - opI32Const))
		s.stack[len(s.stack)-1].plain = isNumber(s.r.bytes[in.start:s.r.pos])
	case op >= opLoadFirst && op <= opStoreLast:
		s.access(in, scalarAccess(op))
	case op == opMemorySize, op == opMemoryGrow:
		s.needMemory()
		if op == opMemoryGrow {
			s.pop(typeI32)
		}
		s.push(typeI32)
	case op == opMisc:
		s.misc(in)
	case op == opSIMD:
		s.simd(in)
	case op >= opRefNull, op == opTableGet:
		s.reference(in)
	case op == opDrop:
		v := s.pop(typeAny)
		s.use(v, true, v.lanes)
	case op == opSelect, op == opSelectTyped:
		s.choose(in)
	default:
		s.control(in)
	}
}

func (s *survey) push(typ byte) { s.stack = append(s.stack, operand{typ: typ}) }

func (s *survey) pushAll(types []byte) {
	s.found.effort.arity += int64(len(types))
	for _, t := range types {
		s.push(t)
	}
}

// pushNaN pushes what may be a NaN in lanes of the type given, 0 where it is none.
func (s *survey) pushNaN(typ, lanes byte) {
	v := operand{typ: typ}
	if lanes != 0 {
		s.found.needs[scratchFor(typ)] = true
		s.found.nans = append(s.found.nans, true)
		v.lanes, v.nan = lanes, uint32(len(s.found.nans))
	}
	s.stack = append(s.stack, v)
}

// use is called for an operand of an instruction that is blind for the bits of a NaN in lanes of
// that type: nobody else will see them.
func (s *survey) use(v operand, blind bool, lanes byte) {
	if blind && v.nan > 0 && v.lanes == lanes {
		s.found.nans[v.nan-1] = false
	}
	if blind && v.get > 0 {
		s.gets[v.get-1].blind = true
	}
}

// settle decides for each local that may hold a NaN whether that is made canonical when it is set or, where
// this is not more often, when it is got for what is not blind: a sum that a loop adds to is got so once,
// behind the loop.
func (s *survey) settle() {
	if len(s.sets) == 0 {
		return
	}
	s.holds = append(s.holds[:0], make([]held, s.found.locals)...)
	for i, typ := range s.params {
		s.holds[i].other = isFloat(typ)
	}
	for _, d := range s.sets {
		if d.nan == 0 {
			s.holds[d.local].other = true
		}
		s.holds[d.local].sets++
	}
	for _, g := range s.gets {
		if !g.blind {
			s.holds[g.local].gets++
		}
	}
	for _, d := range s.sets {
		if s.holds[d.local].late() {
			s.found.nans[d.nan-1] = false
		}
	}
	for _, g := range s.gets {
		if !g.blind && s.holds[g.local].late() {
			s.found.late = append(s.found.late, g)
		}
	}
}

// pop takes a value of the type want, or any.
func (s *survey) pop(want byte) operand {
	f := s.top()
	if len(s.stack) == f.height {
		if !f.unreachable {
			s.r.damaged("an instruction needs an operand of type %s and there is none", typeName(want))
		}
		return operand{typ: want}
	}
	v := s.stack[len(s.stack)-1]
	s.stack = s.stack[:len(s.stack)-1]
	switch {
	case v.typ == typeAny:
		v.typ = want
	case want != typeAny && v.typ != want:
		s.r.damaged("an instruction has an operand of type %s where it needs %s", typeName(v.typ), typeName(want))
	}
	return v
}

func (s *survey) popAll(types []byte) {
	s.found.effort.arity += int64(len(types))
	for i := len(types) - 1; i >= 0; i-- {
		s.pop(types[i])
	}
}

func (s *survey) local(in *instruction) {
	s.found.effort.locals++
	typ := s.localType(in.index)
	v := operand{typ: typ}
	if in.op != opLocalGet {
		if v := s.pop(typ); isFloat(typ) && !v.plain {
			s.sets = append(s.sets, set{in.index, v.nan})
		}
		if in.op == opLocalSet {
			return
		}
	}
	if isFloat(typ) {
		s.gets = append(s.gets, get{local: in.index, typ: typ, at: in.start})
		v.get = uint32(len(s.gets))
	}
	s.stack = append(s.stack, v)
}

func (s *survey) global(in *instruction) {
	if int64(in.index) >= int64(len(s.m.globals)) {
		s.r.damaged("global %d does not exist", in.index)
		return
	}
	g := s.m.globals[in.index]
	if in.op == opGlobalGet {
		s.push(g.typ)
		return
	}
	if !g.mutable {
		s.r.damaged("global %d is set and is not mutable", in.index)
	}
	s.pop(g.typ)
}

func (s *survey) needMemory() {
	if s.m.memories == 0 {
		s.r.damaged("there is no memory")
	}
}

func (s *survey) access(in *instruction, a access) {
	s.needMemory()
	if in.index > a.align {
		s.r.damaged("an access of %d bytes has an alignment of 2^%d", 1<<a.align, in.index)
	}
	if a.store {
		s.pop(a.typ)
		s.pop(typeI32)
		return
	}
	s.pop(typeI32)
	s.push(a.typ)
}

func (s *survey) misc(in *instruction) {
	switch in.sub {
	case miscTableSize:
		s.tableType(in.index)
		s.push(typeI32)
	case miscMemoryCopy, miscMemoryFill:
		s.needMemory()
		s.found.needs[scratchLength] = true
		for range 3 {
			s.pop(typeI32)
		}
	default:
		typ, out := saturating(in.sub)
		s.use(s.pop(typ), true, typ)
		s.push(out)
	}
}

func (s *survey) tableType(index uint32) byte {
	if int64(index) >= int64(len(s.m.tables)) {
		s.r.damaged("table %d does not exist", index)
		return typeFuncref
	}
	return s.m.tables[index].elem
}

func (s *survey) reference(in *instruction) {
	switch in.op {
	case opRefNull:
		s.push(in.typ)
	case opRefIsNull:
		if v := s.pop(typeAny); v.typ != typeAny && v.typ != typeFuncref && v.typ != typeExternref {
			s.r.damaged("ref.is_null has an operand of type %s", typeName(v.typ))
		}
		s.push(typeI32)
	case opRefFunc:
		if int(in.index) >= len(s.m.declared) || !s.m.declared[in.index] {
			s.r.damaged("ref.func names function %d, which is neither exported nor an element", in.index)
		}
		s.push(typeFuncref)
	case opTableGet:
		s.pop(typeI32)
		s.push(s.tableType(in.index))
	}
}

func (s *survey) choose(in *instruction) {
	s.pop(typeI32)
	if in.op == opSelectTyped {
		s.pop(in.typ)
		s.pop(in.typ)
		s.push(in.typ)
		return
	}
	a := s.pop(typeAny)
	b := s.pop(a.typ)
	if b.typ == typeFuncref || b.typ == typeExternref {
		s.r.damaged("select without a type chooses between references")
	}
	s.push(b.typ)
}

func (s *survey) simd(in *instruction) {
	if align, ok := vectorAlign(in.sub); ok {
		s.vectorAccess(in, align)
		return
	}
	blind := blindLanes(in.sub)
	take := func(n int) {
		for range n {
			s.use(s.pop(typeV128), blind != 0, blind)
		}
	}
	switch shapeOf(in.sub) {
	case shapeConst:
	case shapeSplat:
		s.pop(laneType(in.sub))
	case shapeExtract:
		s.pop(typeV128)
		s.push(laneType(in.sub))
		return
	case shapeReplace:
		s.pop(laneType(in.sub))
		s.pop(typeV128)
	case shapeUnary:
		take(1)
	case shapeBinary:
		take(2)
	case shapeTernary:
		take(3)
	case shapeShift:
		s.pop(typeI32)
		s.pop(typeV128)
	case shapeTest:
		s.pop(typeV128)
		s.push(typeI32)
		return
	}
	s.pushNaN(typeV128, nanLanes(in.sub))
}

func (s *survey) vectorAccess(in *instruction, align uint32) {
	a := access{typ: typeV128, align: align, store: in.sub == simdStore}
	switch {
	case in.sub >= simdStoreLane && in.sub <= simdStoreLane+3:
		a.store = true
	case in.sub >= simdLoadLane && in.sub < simdStoreLane:
		s.pop(typeV128)
	}
	s.access(in, a)
}

// readLocals reads the declarations of locals and returns their groups as they are, and their number.
func (s *survey) readLocals() (groups []byte, n int) {
	r := s.r
	total := uint64(len(s.params))
	s.quick = append(s.quick, s.params...)
	n = r.count(2)
	from := r.pos
	for range n {
		more := uint64(r.u32())
		typ := r.byte()
		if total += more; r.err != nil || total > mostLocals {
			break
		}
		checkType(r, typ)
		s.locals = append(s.locals, locals{end: uint32(total), typ: typ})
		for ; more > 0 && len(s.quick) < cap(s.quick); more-- {
			s.quick = append(s.quick, typ)
		}
	}
	if total > mostLocals {
		r.refuse("a function has more than %d locals; split it", mostLocals)
	}
	return r.bytes[from:r.pos], n
}

// count returns how many locals the function has, parameters included.
func (s *survey) count() uint32 {
	if n := len(s.locals); n > 0 {
		return s.locals[n-1].end
	}
	return uint32(len(s.params))
}

func (s *survey) localType(index uint32) byte {
	if int64(index) < int64(len(s.quick)) {
		return s.quick[index]
	}
	i := sort.Search(len(s.locals), func(i int) bool { return s.locals[i].end > index })
	if i == len(s.locals) {
		s.r.damaged("local %d does not exist", index)
		return typeAny
	}
	return s.locals[i].typ
}
