package rewrite

// The host function that is called after each quantum.
const (
	hookModule = "flawless"
	hookName   = "quantum"
)

// Instructions that the rewriter checks or writes (WebAssembly 2.0, section 5.4).
const (
	opUnreachable  byte = 0x00
	opBlock        byte = 0x02
	opLoop         byte = 0x03
	opIf           byte = 0x04
	opElse         byte = 0x05
	opEnd          byte = 0x0b
	opBr           byte = 0x0c
	opBrIf         byte = 0x0d
	opBrTable      byte = 0x0e
	opReturn       byte = 0x0f
	opCall         byte = 0x10
	opCallIndirect byte = 0x11
	opSelectTyped  byte = 0x1c
	opLocalGet     byte = 0x20
	opLocalSet     byte = 0x21
	opLocalTee     byte = 0x22
	opGlobalGet    byte = 0x23
	opGlobalSet    byte = 0x24
	opTableGet     byte = 0x25
	opTableSet     byte = 0x26
	opI32Const     byte = 0x41
	opI64Const     byte = 0x42
	opF32Const     byte = 0x43
	opF64Const     byte = 0x44
	opI32LtS       byte = 0x48
	opI64LtS       byte = 0x53
	opF32Eq        byte = 0x5b
	opF64Eq        byte = 0x61
	opI32Add       byte = 0x6a
	opI32Sub       byte = 0x6b
	opI64Sub       byte = 0x7d
	opI64ShrU      byte = 0x88
	opI64ExtendU   byte = 0xad
	opRefNull      byte = 0xd0
	opRefIsNull    byte = 0xd1
	opRefFunc      byte = 0xd2
	opMisc         byte = 0xfc
	opSIMD         byte = 0xfd
	opAtomic       byte = 0xfe
	opDrop         byte = 0x1a
	opSelect       byte = 0x1b
	opLoadFirst    byte = 0x28
	opStoreLast    byte = 0x3e
	opMemorySize   byte = 0x3f
	opMemoryGrow   byte = 0x40
	blockEmpty     byte = 0x40

	miscMemoryInit uint32 = 8
	miscDataDrop   uint32 = 9
	miscMemoryCopy uint32 = 10
	miscMemoryFill uint32 = 11
	miscTableInit  uint32 = 12
	miscElemDrop   uint32 = 13
	miscTableCopy  uint32 = 14
	miscTableGrow  uint32 = 15
	miscTableSize  uint32 = 16
	miscTableFill  uint32 = 17

	simdStore     uint32 = 11
	simdConst     uint32 = 12
	simdShuffle   uint32 = 13
	simdF32x4Eq   uint32 = 65
	simdF64x2Eq   uint32 = 71
	simdBitselect uint32 = 82
	simdLoadLane  uint32 = 84
	simdStoreLane uint32 = 88
	simdRelaxed   uint32 = 256
)

// instruction is one instruction of a body. Its bytes are between start and the position of the reader.
type instruction struct {
	op    byte
	sub   uint32 // of opMisc and opSIMD
	start int
	index uint32 // of a label, local, global, function, type or table; or alignment, or number of labels
	other uint32 // table of opCallIndirect
	block int64  // type of a block
	typ   byte   // of opSelectTyped and opRefNull
}

// next reads an instruction, and refuses those that are not supported.
func (m *module) next(r *reader) instruction {
	in := instruction{start: r.pos}
	in.op = r.byte()
	switch op := in.op; {
	case op >= 0x45 && op <= 0xc4, op <= 0x01, op == opElse, op == opEnd, op == opReturn, op == opDrop, op == opSelect, op == opRefIsNull:
	case op == opBlock, op == opLoop, op == opIf:
		in.block = r.s33()
	case op == opBr, op == opBrIf, op >= opLocalGet && op <= opTableGet:
		in.index = r.u32()
	case op == opBrTable:
		in.index = uint32(r.count(1))
		for n := in.index; r.err == nil; n-- {
			if r.u32(); n == 0 {
				break
			}
		}
	case op == opCall, op == opRefFunc:
		in.index = m.readFunc(r)
	case op == opCallIndirect:
		in.index, in.other = m.readType(r), r.u32()
	case op == opSelectTyped:
		if types := m.valTypes(r); len(types) == 1 {
			in.typ = types[0]
		} else {
			r.damaged("select has %d types", len(types))
		}
	case op == opTableSet:
		refuseTable(r)
	case op >= opLoadFirst && op <= opStoreLast:
		in.index = r.u32()
		r.u32()
	case op == opMemorySize, op == opMemoryGrow:
		firstMemory(r)
	case op == opI32Const:
		in.index = uint32(r.s32())
	case op == opI64Const:
		r.s64()
	case op == opF32Const:
		r.take(4)
	case op == opF64Const:
		r.take(8)
	case op == opRefNull:
		if in.typ = r.byte(); in.typ != typeFuncref && in.typ != typeExternref {
			r.refuse("it uses a null of the type 0x%x; build without the GC proposal", in.typ)
		}
	case op == opMisc:
		in.sub = r.u32()
		misc(r, &in)
	case op == opSIMD:
		in.sub = r.u32()
		simd(r, &in)
	default:
		unknown(r, op)
	}
	return in
}

// unknown refuses an instruction that is not supported.
func unknown(r *reader, op byte) {
	switch {
	case op == opAtomic:
		r.refuse("it uses atomic instructions; build it without threads")
	case op >= 0x12 && op <= 0x15:
		r.refuse("it uses tail calls or calls of references; build without them")
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		r.refuse("it uses exceptions; build without them")
	case op == 0xfb, op >= 0xd3 && op <= 0xd6:
		r.refuse("it uses garbage collected types or typed references; build without them (the GC proposal)")
	default:
		r.damaged("0x%x is not an instruction", op)
	}
}

func refuseTable(r *reader) {
	r.refuse("it changes a table of functions while it runs, which an image cannot hold; link it as one module, without dynamic loading")
}

func firstMemory(r *reader) {
	if n := r.byte(); n != 0 {
		r.refuse("it uses memory %d, only one memory is supported; build without the multi-memory proposal", n)
	}
}

func misc(r *reader, in *instruction) {
	switch in.sub {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case miscMemoryInit, miscDataDrop:
		r.refuse("it copies passive data with memory.init; build without threads (a linker's --shared-memory)")
	case miscMemoryCopy:
		firstMemory(r)
		firstMemory(r)
	case miscMemoryFill:
		firstMemory(r)
	case miscTableSize:
		in.index = r.u32()
	case miscTableInit, miscElemDrop, miscTableCopy, miscTableGrow, miscTableFill:
		refuseTable(r)
	default:
		r.damaged("0xfc %d is not an instruction", in.sub)
	}
}

func simd(r *reader, in *instruction) {
	if in.sub >= simdRelaxed {
		r.refuse("it uses relaxed SIMD, whose results differ between machines; build without it (-mno-relaxed-simd)")
		return
	}
	if _, ok := vectorAlign(in.sub); ok {
		in.index = r.u32()
		r.u32()
	} else if shapeOf(in.sub) == shapeNone {
		r.damaged("0xfd %d is not an instruction", in.sub)
	}
	switch in.sub {
	case simdConst:
		r.take(16)
	case simdShuffle:
		for _, lane := range r.take(16) {
			if lane >= 32 {
				r.damaged("there is no lane %d", lane)
			}
		}
	}
	if n := lanes(in.sub); n > 0 {
		if lane := r.byte(); lane >= n {
			r.damaged("there is no lane %d", lane)
		}
	}
}
