package rewrite

// samples are valid modules with some of everything, as seeds for fuzzing.
func samples() [][]byte {
	long := append(putS([]byte{opI32Const}, 1<<31-1), opDrop)
	return [][]byte{
		fib,
		simple([]byte{0x60, 0, 0}, opLoop, blockEmpty, opBr, 0, opEnd, opEnd),
		simple([]byte{0x60, 0, 2, typeI32, typeF64}, opI32Const, 1, opF64Const, 0, 0, 0, 0, 0, 0, 0, 0, opCall, 0, opReturn, opEnd),
		simple([]byte{0x60, 1, typeI32, 1, typeI32}, opBlock, blockEmpty, opBlock, blockEmpty, opLocalGet, 0, opBrTable, 2, 0, 1, 0, opEnd,
			opI32Const, 7, opReturn, opEnd, opLocalGet, 0, opIf, typeI32, opI32Const, 1, opElse, opUnreachable, opEnd, opEnd),
		simple([]byte{0x60, 3, typeI32, typeI32, typeI32, 0}, opLocalGet, 0, opLocalGet, 1, opLocalGet, 2, opMisc, 10, 0, 0,
			opLocalGet, 0, opLocalGet, 1, opLocalGet, 2, opMisc, 11, 0, opMemorySize, 0, opMemoryGrow, 0, opDrop, opEnd),
		simple([]byte{0x60, 2, typeF32, typeF64, 1, typeI64}, opLocalGet, 0, opLocalGet, 0, 0x92, 0xbb, opLocalGet, 1, 0xa2, 0x9f, 0xbd,
			opLocalGet, 0, opLocalGet, 0, 0x95, opMisc, 4, 0x7c, opEnd),
		simple([]byte{0x60, 1, typeV128, 1, typeV128}, opLocalGet, 0, opLocalGet, 0, opSIMD, 0xe4, 1, opLocalGet, 0, opSIMD, 0xf2, 1,
			opLocalGet, 0, opSIMD, 13, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 31, opLocalSet, 0, opI32Const, 0, opLocalGet, 0, opSIMD, 84, 0, 0, 3, opEnd),
		simple([]byte{0x60, 1, typeI32, 1, typeI32}, append(long, opLocalGet, 0, 0x28, 2, 8, opLocalGet, 0, 0x67, 0x01, 0x01, opI32Add, opEnd)...),
		whole(),
	}
}

// whole is a module with every section.
func whole() []byte {
	initial := func(place int64, rest ...byte) []byte {
		return append(append(putS([]byte{0, opI32Const}, place), opEnd), rest...)
	}
	names := append(putName([]byte{sectionCustom}, nameSection), putSection(nil, 0, putName(nil, "whole"))...)
	names = append(names, putSection(nil, 1, append(putName([]byte{2, 0}, "sink"), putName([]byte{1}, "main")...))...)
	return mod(
		vec(sectionType, []byte{0x60, 0, 0}, []byte{0x60, 1, typeI32, 0}, []byte{0x60, 1, typeI32, 2, typeI32, typeI32}),
		vec(sectionImport, append(putName(putName(nil, "env"), "sink"), externFunc, 1)),
		vec(sectionFunc, []byte{0}, []byte{2}),
		vec(sectionTable, []byte{typeFuncref, 1, 2, 8}, []byte{typeExternref, 0, 1}),
		vec(sectionMemory, []byte{1, 1, 4}),
		vec(sectionGlobal,
			[]byte{typeI32, 1, opI32Const, 42, opEnd}, []byte{typeI64, 0, opI64Const, 1, opEnd},
			[]byte{typeFuncref, 0, opRefFunc, 1, opEnd}, []byte{typeF32, 1, opF32Const, 0, 0, 0, 0, opEnd}),
		vec(sectionExport, exported("memory", externMemory, 0), exported("f", externFunc, 2), exported("t", externTable, 0), exported("g", externGlobal, 0)),
		append([]byte{sectionStart}, 1),
		vec(sectionElem, initial(0, 2, 1, 2), []byte{1, 0, 1, 2}, []byte{3, 0, 1, 0},
			[]byte{4, opI32Const, 1, opEnd, 1, opRefFunc, 1, opEnd}, []byte{5, typeExternref, 1, opRefNull, typeExternref, opEnd}),
		append([]byte{sectionDataCount}, 2),
		vec(sectionCode,
			fn(opGlobalGet, 0, opCall, 0, opRefFunc, 1, opRefIsNull, opDrop, opI32Const, 0, opTableGet, 1, opDrop, opMisc, 16, 0, opDrop, opEnd),
			fn(opLocalGet, 0, opIf, blockEmpty, opI32Const, 1, opI32Const, 0, opCallIndirect, 2, 0, opReturn, opEnd,
				opLocalGet, 0, opLocalGet, 0, opGlobalSet, 0, opLocalGet, 0, opEnd)),
		vec(sectionData, initial(16, putName(nil, "hello")...), append([]byte{2, 0, opI32Const, 20, opEnd}, putName(nil, "world")...)),
		names,
	)
}
