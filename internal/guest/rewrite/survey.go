package rewrite

import "sort"

// Limits of a function. Compilers stay far below them.
const (
	maxLocals   = 49_000
	maxOperands = 1 << 16
)

// survey reads the code of a function once. It validates it, and collects what rewriting it needs. Only valid code
// may be rewritten, because invalid indices could become valid through the globals, locals, types and blocks that are
// added.
type survey struct {
	m      *module
	r      *reader
	params []byte
	locals []locals
	quick  []byte // types of the first locals
	stack  []operand
	frames []frame

	gets  []get  // reads of float locals
	sets  []set  // writes of float locals
	holds []held // by local

	found  found
	merged []int          // for each cost, the one that its instructions count to instead, or -1
	plain  bool           // there was no branch, call or loop yet
	before [2]instruction // the last two, latest first
	one    [128]byte      // each byte at its own index, to slice lists of one type from
}

// found is what a survey finds out about a function.
type found struct {
	body     reader // after the declarations of locals
	groups   []byte // the encoded declarations
	ngroups  int
	locals   uint32   // number of locals, including parameters
	costs    []int64  // of the entry, and of each loop and arm in order; 0 if a loop never repeats
	arms     []int    // the ends of blocks after which an arm begins, in order
	switches []bool   // of costs: that of an arm, or of a loop around a large switch
	sites    []site   // calls of functions of the module
	branches []uint32 // new label of each br, in order
	nans     []bool   // for each instruction whose result may be a NaN, in order: make it canonical
	late     []get    // local.get and local.tee after which to make a NaN canonical, in order
	needs    [5]bool  // added locals that are used
	all      int64    // number of instructions
	operands int      // highest number on the stack
	effort   effort
	calls    bool // it has calls
	indirect bool // it has indirect calls
	loops    bool // it has loops that repeat
	straight bool // nothing branches between the entry and the first loop
}

// site is a call site, and the cost that it counts to.
type site struct {
	fn   uint32
	cost int
}

// locals is a group of locals: those before end that are in no earlier group.
type locals struct {
	end uint32
	typ byte
}

// operand is a value on the stack. If it may be a NaN, nan is its index in nans plus one. If it was read from a float
// local, get is its index in gets plus one.
type operand struct {
	typ   byte
	lanes byte // type of the lanes that may be NaN
	nan   uint32
	get   uint32
	plain bool // it is not a NaN
}

// get is a local.get or local.tee of a float.
type get struct {
	local uint32
	typ   byte
	at    int
	blind bool // its value is the operand of a NaN-blind instruction
}

// set is a local.set or local.tee of a float. nan is the index in nans plus one of a value that may be a NaN with
// undefined bits. It is 0 for other values: they may be NaNs whose bits must be kept, such as a negative one.
type set struct{ local, nan uint32 }

// held counts how often a local may be set to a NaN, and how often it is read for an instruction that is not NaN-blind.
type held struct {
	sets, gets int
	other      bool // it is also set to a value whose bits must be kept
}

func (h held) late() bool { return h.sets > 0 && h.gets <= h.sets && !h.other }

// frame is a block before its end.
type frame struct {
	op              byte
	params, results []byte
	height          int // of the stack at its start
	unreachable     bool
	cost            int   // that its instructions count to
	loop            int   // of a loop: its own cost
	arm             bool  // an arm of a switch begins at its end
	first           int64 // number of the instruction that opens it
	nest            int64 // enclosing loops, including itself
	again           bool  // there is a branch back to it
	dispatch        *dispatch
}

func newSurvey(m *module) *survey {
	s := &survey{m: m, quick: make([]byte, 0, 2*maxParams)}
	for i := range s.one {
		s.one[i] = byte(i)
	}
	return s
}

// look surveys the next function, which has the type t and the code r.
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
		r.refuse("with its %d instructions, %d locals, %d branches and blocks, and loops in %d levels it would take %.1f times the allowed time to compile; split it",
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
		case len(s.stack) > maxOperands:
			r.refuse("a function needs more than %d values on its stack; split it", maxOperands)
		case s.found.all > maxInstructions:
			r.refuse("a function has more than %d instructions; split it", maxInstructions)
		case 1000*s.found.effort.arity > maxFunctionWork:
			r.refuse("the blocks, branches and calls of a function pass on more than %d values; split it, or pass them in memory", s.found.effort.arity)
		}
		s.found.operands = max(s.found.operands, len(s.stack))
		if len(s.frames) == 0 {
			if r.err == nil && r.pos != r.end {
				r.damaged("there is code after the end of a function")
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
		s.stack[len(s.stack)-1].plain = op >= 0xb2 && op <= 0xb5 || op >= 0xb7 && op <= 0xba // converted from integers
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

// pushNaN pushes a value that may be a NaN in lanes of this type; 0 is no lanes.
func (s *survey) pushNaN(typ, lanes byte) {
	v := operand{typ: typ}
	if lanes != 0 {
		s.found.needs[scratchFor(typ)] = true
		s.found.nans = append(s.found.nans, true)
		v.lanes, v.nan = lanes, uint32(len(s.found.nans))
	}
	s.stack = append(s.stack, v)
}

// use records the use of an operand. If the instruction is NaN-blind for lanes of that type, the operand need not be
// canonical: nothing else uses it.
func (s *survey) use(v operand, blind bool, lanes byte) {
	if blind && v.nan > 0 && v.lanes == lanes {
		s.found.nans[v.nan-1] = false
	}
	if blind && v.get > 0 {
		s.gets[v.get-1].blind = true
	}
}

// settle decides for each local that may hold a NaN whether to make it canonical when it is set or when it is read
// for an instruction that is not NaN-blind, whichever is less often in the code. A sum in a loop is only read so
// once, after the loop.
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

// pop pops a value of the type want; typeAny is any.
func (s *survey) pop(want byte) operand {
	f := s.top()
	if len(s.stack) == f.height {
		if !f.unreachable {
			s.r.damaged("an instruction needs an operand of type %s, but there is none", typeName(want))
		}
		return operand{typ: want}
	}
	v := s.stack[len(s.stack)-1]
	s.stack = s.stack[:len(s.stack)-1]
	switch {
	case v.typ == typeAny:
		v.typ = want
	case want != typeAny && v.typ != want:
		s.r.damaged("an instruction has an operand of type %s, but needs %s", typeName(v.typ), typeName(want))
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
		s.r.damaged("global %d is set, but is not mutable", in.index)
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

// readLocals reads the declarations of locals. It returns the encoded groups and their number.
func (s *survey) readLocals() (groups []byte, n int) {
	r := s.r
	total := uint64(len(s.params))
	s.quick = append(s.quick, s.params...)
	n = r.count(2)
	from := r.pos
	for range n {
		more := uint64(r.u32())
		typ := r.byte()
		if total += more; r.err != nil || total > maxLocals {
			break
		}
		checkType(r, typ)
		s.locals = append(s.locals, locals{end: uint32(total), typ: typ})
		for ; more > 0 && len(s.quick) < cap(s.quick); more-- {
			s.quick = append(s.quick, typ)
		}
	}
	if total > maxLocals {
		r.refuse("a function has more than %d locals; split it", maxLocals)
	}
	return r.bytes[from:r.pos], n
}

// count returns how many locals the function has, including parameters.
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
