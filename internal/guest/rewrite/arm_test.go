package rewrite

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

const (
	interpreterArms = 200
	armInstructions = 60
)

// interpreter is a function that executes as many instructions as its argument says, each in another arm of a switch
// in a loop, and returns a number that depends on them.
func interpreter() []byte {
	code := []byte{opLoop, blockEmpty}
	for range interpreterArms {
		code = append(code, opBlock, blockEmpty)
	}
	// Next instruction: local 1 = (local 1 * 5 + 3) mod 200. It is loaded from a table in a real interpreter.
	code = append(code, opLocalGet, 1, opI32Const, 5, 0x6c /* mul */, opI32Const, 3, opI32Add)
	code = append(putS(append(code, opI32Const), interpreterArms), 0x70 /* rem_u */, opLocalTee, 1)
	code = putU(append(code, opBrTable), interpreterArms-1)
	for k := range uint64(interpreterArms) {
		code = putU(code, k)
	}
	for k := range interpreterArms {
		code = append(code, opEnd)
		for range armInstructions / 4 {
			code = append(putS(append(code, opLocalGet, 2, opI32Const), int64(k+1)), opI32Add, opLocalSet, 2)
		}
		left := uint64(interpreterArms - 1 - k)
		code = append(code, opLocalGet, 0, 0x45 /* eqz */, opIf, blockEmpty, opLocalGet, 2, opReturn, opEnd)
		code = append(code, opLocalGet, 0, opI32Const, 1, 0x6b /* sub */, opLocalSet, 0)
		code = putU(append(code, opBr), left)
	}
	code = append(code, opEnd, opLocalGet, 2, opEnd)
	body := append([]byte{1, 2, typeI32}, code...)
	return mod(vec(sectionType, []byte{0x60, 1, typeI32, 1, typeI32}), vec(sectionFunc, []byte{0}), memory, exports,
		vec(sectionCode, append(putU(nil, uint64(len(body))), body...)))
}

// TestInterpreterIsChargedForItsArms: each instruction of an interpreter costs what its arm executes, not what all arms
// would.
func TestInterpreterIsChargedForItsArms(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	plain := wazero.NewRuntime(ctx)
	t.Cleanup(func() { _ = plain.Close(ctx) })
	bin := interpreter()
	was, err := plain.InstantiateWithConfig(ctx, bin, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	const steps = 10_000
	want, err := was.ExportedFunction("f").Call(ctx, steps)
	if err != nil {
		t.Fatal(err)
	}
	for engine, config := range engines() {
		h := start(t, bin, usual, config)
		got, err := h.ExportedFunction("f").Call(ctx, steps)
		if err != nil || got[0] != want[0] {
			t.Fatalf("%s: %v, %v, and it was %v", engine, got, err, want)
		}
		units := int64(h.calls)*usual.Quantum - int64(h.ExportedGlobal(h.r.Units).Get())
		if per := float64(units) / steps; per < armInstructions/3 || per > 2*armInstructions {
			t.Errorf("%s: an instruction costs %.0f units, but executes about %d instructions of WebAssembly", engine, per, armInstructions+20)
		}
		if h.calls < steps*armInstructions/3/int(usual.Quantum) {
			t.Errorf("%s: the engine was called %d times", engine, h.calls)
		}
	}
}

// TestLargeFunctionRecurs: the main loop of an interpreter calls itself for each call in the program that it runs. A
// thousand of them must fit on the stack, or the interpreter could not report an endless recursion by itself.
func TestLargeFunctionRecurs(t *testing.T) {
	t.Parallel()
	var code []byte
	for range 14_000 / 4 {
		code = append(code, opI32Const, 0, 0x28 /* i32.load */, 2, 0, opDrop)
	}
	options := usual
	options.Depth = 100_000
	bin := several(fn(append(code, opCall, 0, opEnd)...))
	for engine, config := range engines() {
		h := start(t, bin, options, config)
		if _, err := h.ExportedFunction("f").Call(context.Background()); err == nil {
			t.Fatalf("%s: an endless recursion has ended", engine)
		}
		// wazero's interpreter has no more than 2,000 calls on its stack.
		if d := int32(h.ExportedGlobal(h.r.Depth).Get()); d >= 0 && engine != "interpreter" {
			t.Errorf("%s: the stack of this machine ended before the depth was used up: %d is left", engine, d)
		}
		if share := shareOf(t, bin); share > options.Depth/1000 {
			t.Errorf("%s: one call of the function counts as %d of %d", engine, share, options.Depth)
		}
	}
}

// shareOf returns the share of the first function.
func shareOf(t *testing.T, bin []byte) int32 {
	t.Helper()
	m := module{options: usual, read: reader{bytes: bin, end: len(bin)}}
	if err := m.decode(); err != nil {
		t.Fatal(err)
	}
	r := m.bodies
	r.count(1)
	f, err := newSurvey(&m).look(r.part(r.count(1), ""), m.types[0])
	if err != nil {
		t.Fatal(err)
	}
	return int32(f.share())
}

// TestLargestFrameRecurs has a function with more values at once than fit into the frame that its share stands for. Its
// recursion must end as a failure of the guest, whatever ends first.
func TestLargestFrameRecurs(t *testing.T) {
	t.Parallel()
	var code []byte
	const values = 20_000
	for range values {
		code = append(code, opI32Const, 0, 0x28 /* i32.load */, 2, 0)
	}
	code = append(code, opCall, 0)
	for range values {
		code = append(code, opDrop)
	}
	options := usual
	options.Depth = 100_000
	for engine, config := range engines() {
		h := start(t, several(fn(append(code, opEnd)...)), options, config)
		if _, err := h.ExportedFunction("f").Call(context.Background()); err == nil {
			t.Errorf("%s: an endless recursion has ended", engine)
		}
	}
}
