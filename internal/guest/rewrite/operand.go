package rewrite

// The operands and results of instructions (WebAssembly 2.0, appendix A).

// numeric returns the type and the number of operands of a scalar instruction from 0x45 to 0xc4, and the type of its
// result.
func numeric(op byte) (in byte, n int, out byte) {
	switch {
	case op == 0x45:
		return typeI32, 1, typeI32
	case op <= 0x4f:
		return typeI32, 2, typeI32
	case op == 0x50:
		return typeI64, 1, typeI32
	case op <= 0x5a:
		return typeI64, 2, typeI32
	case op <= 0x60:
		return typeF32, 2, typeI32
	case op <= 0x66:
		return typeF64, 2, typeI32
	case op <= 0x69:
		return typeI32, 1, typeI32
	case op <= 0x78:
		return typeI32, 2, typeI32
	case op <= 0x7b:
		return typeI64, 1, typeI64
	case op <= 0x8a:
		return typeI64, 2, typeI64
	case op <= 0x91:
		return typeF32, 1, typeF32
	case op <= 0x98:
		return typeF32, 2, typeF32
	case op <= 0x9f:
		return typeF64, 1, typeF64
	case op <= 0xa6:
		return typeF64, 2, typeF64
	}
	in, out = conversion(op)
	return in, 1, out
}

func conversion(op byte) (in, out byte) {
	switch op {
	case 0xc0, 0xc1:
		return typeI32, typeI32
	case 0xc2, 0xc3, 0xc4:
		return typeI64, typeI64
	case 0xa7:
		return typeI64, typeI32
	case 0xa8, 0xa9, 0xbc:
		return typeF32, typeI32
	case 0xaa, 0xab:
		return typeF64, typeI32
	case 0xac, 0xad:
		return typeI32, typeI64
	case 0xae, 0xaf:
		return typeF32, typeI64
	case 0xb0, 0xb1, 0xbd:
		return typeF64, typeI64
	case 0xb2, 0xb3, 0xbe:
		return typeI32, typeF32
	case 0xb4, 0xb5:
		return typeI64, typeF32
	case 0xb6:
		return typeF64, typeF32
	case 0xb7, 0xb8:
		return typeI32, typeF64
	case 0xb9, 0xba, 0xbf:
		return typeI64, typeF64
	}
	return typeF32, typeF64 // 0xbb
}

// saturating returns the types of the operand and the result of a conversion after 0xfc.
func saturating(sub uint32) (in, out byte) {
	in, out = typeF32, typeI32
	if sub&2 != 0 {
		in = typeF64
	}
	if sub >= 4 {
		out = typeI64
	}
	return in, out
}

// access is a load or store of 1<<align bytes.
type access struct {
	typ   byte
	align uint32
	store bool
}

func scalarAccess(op byte) access {
	var all = [...]access{
		{typeI32, 2, false}, {typeI64, 3, false}, {typeF32, 2, false}, {typeF64, 3, false},
		{typeI32, 0, false}, {typeI32, 0, false}, {typeI32, 1, false}, {typeI32, 1, false},
		{typeI64, 0, false}, {typeI64, 0, false}, {typeI64, 1, false}, {typeI64, 1, false}, {typeI64, 2, false}, {typeI64, 2, false},
		{typeI32, 2, true}, {typeI64, 3, true}, {typeF32, 2, true}, {typeF64, 3, true},
		{typeI32, 0, true}, {typeI32, 1, true}, {typeI64, 0, true}, {typeI64, 1, true}, {typeI64, 2, true},
	}
	return all[op-opLoadFirst]
}

// vectorAlign returns the alignment of a load or store of a vector, and whether sub is one.
func vectorAlign(sub uint32) (align uint32, ok bool) {
	switch {
	case sub == 0, sub == simdStore:
		return 4, true
	case sub <= 6, sub == 10, sub == 93:
		return 3, true
	case sub == 7:
		return 0, true
	case sub == 8:
		return 1, true
	case sub == 9, sub == 92:
		return 2, true
	case sub >= simdLoadLane && sub <= simdStoreLane+3:
		return sub & 3, true
	}
	return 0, false
}

// lanes returns how many lanes an instruction selects from, 0 if it selects none.
func lanes(sub uint32) byte {
	switch {
	case sub >= simdLoadLane && sub <= simdStoreLane+3:
		return 16 >> (sub & 3)
	case sub < 21 || sub > 34:
		return 0
	case sub <= 23:
		return 16
	case sub <= 26:
		return 8
	case sub == 27, sub == 28, sub == 31, sub == 32:
		return 4
	}
	return 2
}

// laneType returns the scalar type of the splat, extract and replace instructions, 15 to 34.
func laneType(sub uint32) byte {
	switch sub {
	case 18, 29, 30:
		return typeI64
	case 19, 31, 32:
		return typeF32
	case 20, 33, 34:
		return typeF64
	}
	return typeI32
}

// shape is the operands and the result of a vector instruction that does not access memory.
type shape byte

const (
	shapeNone    shape = iota // no such instruction
	shapeConst                //      -> v
	shapeSplat                // s    -> v
	shapeExtract              // v    -> s
	shapeReplace              // v s  -> v
	shapeUnary                // v    -> v
	shapeBinary               // v v  -> v
	shapeTernary              // v v v -> v
	shapeShift                // v i32 -> v
	shapeTest                 // v    -> i32
)

func shapeOf(sub uint32) shape {
	switch sub {
	case simdConst:
		return shapeConst
	case 15, 16, 17, 18, 19, 20:
		return shapeSplat
	case 21, 22, 24, 25, 27, 29, 31, 33:
		return shapeExtract
	case 23, 26, 28, 30, 32, 34:
		return shapeReplace
	case simdBitselect:
		return shapeTernary
	case 83, 99, 100, 131, 132, 163, 164, 195, 196:
		return shapeTest
	case 107, 108, 109, 139, 140, 141, 171, 172, 173, 203, 204, 205:
		return shapeShift
	case 154, 162, 165, 166, 175, 176, 178, 179, 180, 187, 194, 197, 198, 207, 208, 210, 211, 212, 226, 238:
		return shapeNone
	case 77, 94, 95, 96, 97, 98, 103, 104, 105, 106, 116, 117, 122, 124, 125, 126, 127, 128, 129, 135, 136, 137, 138,
		148, 160, 161, 167, 168, 169, 170, 192, 193, 199, 200, 201, 202, 224, 225, 227, 236, 237, 239,
		248, 249, 250, 251, 252, 253, 254, 255:
		return shapeUnary
	}
	if sub >= 13 && sub < simdRelaxed {
		return shapeBinary
	}
	return shapeNone
}

// nanType returns the type of an instruction's result if it may be a NaN whose bits the specification does not
// define, and 0 otherwise. That is the case for arithmetic, rounding, and conversion between float types. Copying a
// float and changing its sign are exact.
func nanType(op byte) byte {
	switch {
	case op >= 0x8d && op <= 0x97, op == 0xb6:
		return typeF32
	case op >= 0x9b && op <= 0xa5, op == 0xbb:
		return typeF64
	}
	return 0
}

// nanBlind reports whether the result of an instruction does not depend on the bits of NaNs among its operands, once
// the result is canonical. That is the case for the instructions of nanType, for comparisons, and for conversions to
// integers.
func nanBlind(op byte) bool {
	return nanType(op) != 0 || op >= 0x5b && op <= 0x66 || op >= 0xa8 && op <= 0xab || op >= 0xae && op <= 0xb1
}

// nanLanes is nanType for vectors. It returns the type of the lanes.
func nanLanes(sub uint32) byte {
	switch {
	case sub >= 103 && sub <= 106, sub >= 227 && sub <= 233, sub == 94:
		return typeF32
	case sub == 116, sub == 117, sub == 122, sub == 148, sub >= 239 && sub <= 245, sub == 95:
		return typeF64
	}
	return 0
}

// blindLanes is nanBlind for vectors. It returns the type of the lanes for which that holds, or 0.
func blindLanes(sub uint32) byte {
	switch {
	case sub == 94:
		return typeF64
	case sub == 95:
		return typeF32
	case nanLanes(sub) != 0:
		return nanLanes(sub)
	case sub >= 65 && sub <= 70, sub == 248, sub == 249:
		return typeF32
	case sub >= 71 && sub <= 76, sub == 252, sub == 253:
		return typeF64
	}
	return 0
}
