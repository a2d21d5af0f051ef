package rewrite

// The host function that is called when a quantum is used up.
const (
	hookModule = "flawless"
	hookName   = "quantum"
)

// Instructions that the rewriter looks at or writes (WebAssembly 2.0, section 5.4).
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
	opSelect       byte = 0x1b
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

	simdConst     uint32 = 12
	simdF32x4Eq   uint32 = 65
	simdF64x2Eq   uint32 = 71
	simdBitselect uint32 = 82
	simdRelaxed   uint32 = 256
)

// nanType returns the type of what an instruction leaves where that may be a NaN of bits that the
// specification leaves open: arithmetic, rounding and conversion between float types. What copies
// or changes the sign of a float is exact.
func nanType(op byte) byte {
	switch {
	case op >= 0x8d && op <= 0x97, op == 0xb6:
		return typeF32
	case op >= 0x9b && op <= 0xa5, op == 0xbb:
		return typeF64
	}
	return 0
}

// nanLanes is nanType for SIMD: the type of the lanes.
func nanLanes(op uint32) byte {
	switch {
	case op >= 103 && op <= 106, op >= 227 && op <= 233, op == 94:
		return typeF32
	case op == 116, op == 117, op == 122, op == 148, op >= 239 && op <= 245, op == 95:
		return typeF64
	}
	return 0
}

// instruction is one instruction of a body: its bytes are from start to where the reader is.
type instruction struct {
	op    byte
	sub   uint32 // of opMisc and opSIMD
	start int
	fn    uint32 // of opCall and opRefFunc
}

// next reads an instruction and refuses what is not run.
func (m *module) next(r *reader) instruction {
	in := instruction{start: r.pos}
	in.op = r.byte()
	switch op := in.op; {
	case op == opBlock, op == opLoop, op == opIf:
		r.s33()
	case op == opBr, op == opBrIf, op >= opLocalGet && op <= opTableGet:
		r.u32()
	case op == opBrTable:
		for n := r.count(1); n >= 0 && r.err == nil; n-- {
			r.u32()
		}
	case op == opCall, op == opRefFunc:
		in.fn = m.readFunc(r)
	case op == opCallIndirect:
		r.u32()
		r.u32()
	case op == opSelectTyped:
		m.valTypes(r)
	case op == opTableSet:
		refuseTable(r)
	case op >= 0x28 && op <= 0x3e:
		r.u32()
		r.u32()
	case op == 0x3f, op == 0x40: // memory.size, memory.grow
		r.byte()
	case op == opI32Const:
		r.s32()
	case op == opI64Const:
		r.s64()
	case op == opF32Const:
		r.take(4)
	case op == opF64Const:
		r.take(8)
	case op == opRefNull:
		r.byte()
	case op == opMisc:
		in.sub = r.u32()
		misc(r, in.sub)
	case op == opSIMD:
		in.sub = r.u32()
		simd(r, in.sub)
	case op == opAtomic:
		r.refuse("it uses atomic instructions; build it without threads")
	case op == 0x12, op == 0x13, op == 0x14, op == 0x15:
		r.refuse("it uses tail calls or calls of references; build without them")
	case op >= 0x06 && op <= 0x0a, op == 0x18, op == 0x19, op == 0x1f:
		r.refuse("it uses exceptions; build without them")
	case op == 0xfb, op >= 0xd3 && op <= 0xd6:
		r.refuse("it uses garbage collected types or typed references; build without them (the GC proposal)")
	case op <= 0x01, op == opElse, op == opEnd, op == opReturn, op == 0x1a, op == opSelect, op >= 0x45 && op <= 0xc4, op == opRefIsNull:
	default:
		r.damaged("0x%x is no instruction", op)
	}
	return in
}

func refuseTable(r *reader) {
	r.refuse("it changes a table of functions while it runs, which cannot be kept in an image; link it as one module, without dynamic loading")
}

func misc(r *reader, sub uint32) {
	switch sub {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case miscMemoryInit, miscDataDrop:
		r.refuse("it lays down passive data with memory.init; build without threads (a linker's --shared-memory)")
	case miscMemoryCopy:
		r.take(2)
	case miscMemoryFill:
		r.take(1)
	case miscTableSize:
		r.u32()
	case miscTableInit, miscElemDrop, miscTableCopy, miscTableGrow, miscTableFill:
		refuseTable(r)
	default:
		r.damaged("0xfc %d is no instruction", sub)
	}
}

func simd(r *reader, sub uint32) {
	switch {
	case sub >= simdRelaxed:
		r.refuse("it uses relaxed SIMD, whose results differ between machines; build without it (-mrelaxed-simd)")
	case sub <= 11, sub == 92, sub == 93:
		r.u32()
		r.u32()
	case sub == simdConst, sub == 13:
		r.take(16)
	case sub >= 21 && sub <= 34:
		r.byte()
	case sub >= 84 && sub <= 91:
		r.u32()
		r.u32()
		r.byte()
	}
}
