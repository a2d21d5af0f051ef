package rewrite

import "encoding/binary"

// CPUs differ in the bits of a NaN that the specification does not define. The canonical NaN is the positive one with
// only the highest bit of the fraction set.

// nanOf returns the type, of a scalar or of lanes, of an instruction's result that may be such a NaN, or 0.
func nanOf(in *instruction) byte {
	if in.op == opSIMD {
		return nanLanes(in.sub)
	}
	return nanType(in.op)
}

func isFloat(typ byte) bool { return typ == typeF32 || typ == typeF64 }

// isNumber reports whether an instruction is a float constant that is not a NaN.
func isNumber(in []byte) bool {
	switch {
	case in[0] == opF32Const && len(in) == 5:
		return binary.LittleEndian.Uint32(in[1:])<<1 <= 0xff<<24
	case in[0] == opF64Const && len(in) == 9:
		return binary.LittleEndian.Uint64(in[1:])<<1 <= 0x7ff<<53
	}
	return false
}

// scratchFor returns the added local for values of a float or vector type.
func scratchFor(typ byte) int {
	switch typ {
	case typeF32:
		return scratchF32
	case typeF64:
		return scratchF64
	}
	return scratchV128
}

// canonical replaces a NaN on top of the stack by the canonical one. A value that equals itself is no NaN.
func (b *body) canonical(op, typ byte) {
	switch {
	case op == opSIMD && typ == typeF32:
		b.canonicalLanes([]byte{0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f}, simdF32x4Eq)
	case op == opSIMD:
		b.canonicalLanes([]byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f}, simdF64x2Eq)
	case typ == typeF32:
		b.canonicalScalar(b.scratch[scratchF32], opF32Eq, opF32Const, 0, 0, 0xc0, 0x7f)
	default:
		b.canonicalScalar(b.scratch[scratchF64], opF64Eq, opF64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f)
	}
}

func (b *body) canonicalScalar(n uint32, eq byte, nan ...byte) {
	b.op(opLocalTee, n)
	b.out = append(b.out, nan...)
	b.op(opLocalGet, n)
	b.op(opLocalGet, n)
	b.out = append(b.out, eq, opSelect)
}

// canonicalLanes does the same for each lane of a vector. half is 8 bytes of canonical NaNs.
func (b *body) canonicalLanes(half []byte, eq uint32) {
	n := b.scratch[scratchV128]
	b.op(opLocalTee, n)
	b.vector(simdConst)
	b.out = append(append(b.out, half...), half...)
	b.op(opLocalGet, n)
	b.op(opLocalGet, n)
	b.vector(eq)
	b.vector(simdBitselect)
}

func (b *body) vector(sub uint32) { b.op(opSIMD, sub) }
