package rewrite

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
)

// jumping is a function as Go compiles it: targets in nested blocks, and jumps between them through a table. Its
// argument is the target to begin at. It returns a number that depends on the path it took.
func jumping(d *rand.Rand) []byte {
	places := 2 + d.IntN(6)
	code := []byte{opLoop, blockEmpty}
	for range places {
		code = append(code, opBlock, blockEmpty)
	}
	code = append(code, opLocalGet, 0, opBrTable)
	entries := 1 + d.IntN(2*places)
	code = append(code, byte(entries))
	for range entries + 1 {
		code = append(code, byte(d.IntN(places)))
	}
	code = append(code, opEnd)
	jump := func(left, nested int) {
		for range nested {
			code = append(code, opLocalGet, 1, opI32Const, byte(1+d.IntN(7)), 0x71 /* and */, opIf, blockEmpty)
		}
		local := byte(0)
		if d.IntN(6) == 0 {
			local = 3 // the same target as before
		}
		code = append(code, opI32Const, byte(d.IntN(entries+3)), opLocalSet, local, opBr, byte(left+nested))
		for range nested {
			code = append(code, opEnd)
		}
	}
	for place := range places {
		left := places - 1 - place // open blocks inside the loop
		code = append(code, opLocalGet, 1, opI32Const, 31, 0x6c /* mul */, opI32Const, byte(place+1), opI32Add, opLocalSet, 1)
		code = append(code, opLocalGet, 2, opI32Const, 1, opI32Add, opLocalTee, 2, opI32Const, 40, opI32LtS, 0x45, /* eqz */
			opIf, blockEmpty, opLocalGet, 1, opReturn, opEnd)
		for range d.IntN(3) {
			jump(left, 1+d.IntN(2))
		}
		if d.IntN(2) == 0 {
			jump(left, 0)
		}
		if left > 0 {
			code = append(code, opEnd)
		}
	}
	code = append(code, opEnd, opLocalGet, 1, opEnd)
	body := append([]byte{1, 3, typeI32}, code...)
	return mod(vec(sectionType, []byte{0x60, 1, typeI32, 1, typeI32}), vec(sectionFunc, []byte{0}), memory, exports,
		vec(sectionCode, append(putU(nil, uint64(len(body))), body...)))
}

// TestBranchTargetsArePreserved compares random functions with their rewritten form.
func TestBranchTargetsArePreserved(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	plain := wazero.NewRuntime(ctx)
	t.Cleanup(func() { _ = plain.Close(ctx) })
	shorter := 0
	for seed := range uint64(150) {
		bin := jumping(rand.New(rand.NewPCG(seed, 1)))
		was, err := plain.InstantiateWithConfig(ctx, bin, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
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
		for _, to := range f.branches {
			if to != same {
				shorter++
			}
		}
		for engine, config := range engines() {
			h := start(t, bin, usual, config)
			for place := range uint64(9) {
				want, err := was.ExportedFunction("f").Call(ctx, place)
				if err != nil {
					t.Fatal(err)
				}
				got, err := h.ExportedFunction("f").Call(ctx, place)
				if err != nil || got[0] != want[0] {
					t.Fatalf("function %d, %s, from %d: %v, %v, and it was %v", seed, engine, place, got, err, want)
				}
			}
		}
	}
	if shorter < 100 {
		t.Errorf("only %d jumps were made shorter: the test proves nothing", shorter)
	}
}
