package rewrite

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"
)

// several returns a module of functions of the type () -> (), of which the first is exported. Before its code, each
// has its number of i64 locals.
func several(funcs ...[]byte) []byte { return severalBehind(0, funcs...) }

// severalBehind is several with a function in its table.
func severalBehind(table byte, funcs ...[]byte) []byte {
	kinds := make([][]byte, len(funcs))
	for k := range funcs {
		kinds[k] = []byte{0}
	}
	elems := vec(sectionElem, []byte{0, opI32Const, 0, opEnd, 1, table})
	return mod(vec(sectionType, []byte{0x60, 0, 0}), vec(sectionFunc, kinds...), vec(sectionTable, []byte{typeFuncref, 0, 1}),
		memory, exports, elems, vec(sectionCode, funcs...))
}

func roomy(locals uint64, code ...byte) []byte {
	body := append(putU([]byte{1}, locals), typeI64)
	body = append(body, code...)
	return append(putU(nil, uint64(len(body))), body...)
}

// TestEachCycleIsCounted has functions that call each other forever, in all the ways there are.
func TestEachCycleIsCounted(t *testing.T) {
	t.Parallel()
	first := fn(opI32Const, 0, opCallIndirect, 0, 0, opEnd) // the table holds function 0
	for name, bin := range map[string][]byte{
		"itself":             several(fn(opCall, 0, opEnd)),
		"a pair":             several(fn(opCall, 1, opEnd), fn(opCall, 0, opEnd)),
		"behind a light one": several(fn(opCall, 1, opEnd), fn(opCall, 2, opCall, 3, opEnd), fn(opEnd), fn(opCall, 1, opEnd)),
		"two circles":        several(fn(opCall, 1, opEnd), fn(opCall, 2, opEnd), fn(opCall, 1, opCall, 0, opEnd)),
		"through a table":    several(fn(opCall, 1, opEnd), first),
	} {
		for engine, config := range engines() {
			h := start(t, bin, usual, config)
			if _, err := h.ExportedFunction("f").Call(context.Background()); err == nil || !strings.Contains(err.Error(), "unreachable") {
				t.Errorf("%s, %s: %v", name, engine, err)
			}
			if d := int32(h.ExportedGlobal(h.r.Depth).Get()); d >= 0 {
				t.Errorf("%s, %s: the depth is %d after a stack too deep", name, engine, d)
			}
		}
	}
}

// TestWorkOfLightFunctionsIsMetered has functions that each call the next one twice, which is much work without a
// cycle.
func TestWorkOfLightFunctionsIsMetered(t *testing.T) {
	t.Parallel()
	const depth = 18
	var funcs [][]byte
	for k := range byte(depth) {
		funcs = append(funcs, fn(opCall, k+1, opCall, k+1, opEnd))
	}
	bin := several(append(funcs, fn(opEnd))...)
	costs := map[int64]bool{}
	for engine, config := range engines() {
		h := start(t, bin, usual, config)
		if _, err := h.ExportedFunction("f").Call(context.Background()); err != nil {
			t.Fatalf("%s: %v", engine, err)
		}
		cost := int64(h.calls)*usual.Quantum - int64(h.ExportedGlobal(h.r.Units).Get())
		if most := int64(3<<depth + 1<<depth); cost < most/20 || cost > most {
			t.Errorf("%s: it cost %d, for about %d instructions", engine, cost, most)
		}
		costs[cost] = true
	}
	if len(costs) != 1 {
		t.Errorf("costs differ: %v", costs)
	}
}

// TestFramesOfLightFunctionsAreCounted has a function that calls itself through a light one with a large frame.
func TestFramesOfLightFunctionsAreCounted(t *testing.T) {
	t.Parallel()
	const locals = 1000
	bin := several(
		fn(opI32Const, 0, opI32Const, 0, opLoadFirst, 2, 0, opI32Const, 1, opI32Add, 0x36, 2, 0, opCall, 1, opCall, 0, opEnd),
		roomy(locals, opCall, 2, opEnd), roomy(locals/2, opEnd))
	o := usual
	o.Depth = 10_000
	for engine, config := range engines() {
		h := start(t, bin, o, config)
		if _, err := h.ExportedFunction("f").Call(context.Background()); err == nil || !strings.Contains(err.Error(), "unreachable") {
			t.Fatalf("%s: %v", engine, err)
		}
		b, _ := h.Memory().Read(0, 4)
		if n := binary.LittleEndian.Uint32(b); n < 50 || n > uint32(o.Depth)/(3*locals/2/16) {
			t.Errorf("%s: it called itself %d times, %d is the limit", engine, n, uint32(o.Depth)/(3*locals/2/16))
		}
	}
}

// TestFramesOfIndirectCallsAreCounted does the same with indirect calls of the light function.
func TestFramesOfIndirectCallsAreCounted(t *testing.T) {
	t.Parallel()
	const locals = 1000
	again := []byte{opI32Const, 0, opI32Const, 0, opLoadFirst, 2, 0, opI32Const, 1, opI32Add, 0x36, 2, 0, opI32Const, 0, opCallIndirect, 0, 0, opEnd}
	for name, bin := range map[string][]byte{
		"at once":       severalBehind(1, fn(again...), roomy(locals, opCall, 0, opEnd)),
		"and a further": severalBehind(1, fn(again...), fn(opCall, 2, opEnd), roomy(locals, opCall, 0, opEnd)),
	} {
		o := usual
		o.Depth = 10_000
		for engine, config := range engines() {
			h := start(t, bin, o, config)
			if _, err := h.ExportedFunction("f").Call(context.Background()); err == nil || !strings.Contains(err.Error(), "unreachable") {
				t.Fatalf("%s, %s: %v", name, engine, err)
			}
			b, _ := h.Memory().Read(0, 4)
			if n := binary.LittleEndian.Uint32(b); n < 50 || n > uint32(o.Depth)/(locals/16) {
				t.Errorf("%s, %s: it called itself %d times, %d is the limit", name, engine, n, uint32(o.Depth)/(locals/16))
			}
		}
	}
}

// TestIndirectCallsAreMetered checks that an indirect call counts for a light function.
func TestIndirectCallsAreMetered(t *testing.T) {
	t.Parallel()
	const n = 1000
	loop := append(append([]byte{opI32Const}, putS(nil, n)...), opLocalSet, 0, opLoop, blockEmpty, opI32Const, 0, opCallIndirect, 0, 0,
		opLocalGet, 0, opI32Const, 1, opI32Sub, opLocalTee, 0, opBrIf, 0, opEnd, opEnd)
	body := append([]byte{1, 1, typeI32}, loop...)
	bin := severalBehind(1, append(putU(nil, uint64(len(body))), body...), fn(append(bytes.Repeat([]byte{opI32Const, 0, opDrop}, maxLightCost/4), opEnd)...))
	for engine, config := range engines() {
		h := start(t, bin, usual, config)
		if _, err := h.ExportedFunction("f").Call(context.Background()); err != nil {
			t.Fatalf("%s: %v", engine, err)
		}
		if cost := int64(h.calls)*usual.Quantum - int64(h.ExportedGlobal(h.r.Units).Get()); cost < n*indirectCost {
			t.Errorf("%s: it cost %d", engine, cost)
		}
	}
}

// TestLightFunctionsAreNotCounted checks that the code of light functions does not change.
func TestLightFunctionsAreNotCounted(t *testing.T) {
	t.Parallel()
	big := []byte(strings.Repeat(string([]byte{opI32Const, 0, opDrop}), maxLightCost))
	for name, row := range map[string]struct {
		bin   []byte
		light bool
	}{
		"a call":        {several(fn(opCall, 1, opEnd), fn(opI32Const, 1, opDrop, opEnd)), true},
		"a dead loop":   {several(fn(opLoop, blockEmpty, opBlock, blockEmpty, opBr, 0, opEnd, opEnd, opEnd)), true},
		"a loop":        {several(fn(opLoop, blockEmpty, opI32Const, 1, opBrIf, 0, opEnd, opEnd)), false},
		"through table": {several(fn(opLoop, blockEmpty, opI32Const, 1, opBrTable, 0, 0, opEnd, opEnd)), false},
		"too much":      {several(fn(append(big, opEnd)...)), false},
	} {
		res, err := Rewrite(row.bin, usual)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// The only globals are those that are added.
		if set := bytes.Contains(res.Binary, []byte{opGlobalSet, 0}); set == row.light {
			t.Errorf("%s: it is light: %v", name, row.light)
		}
	}
}
