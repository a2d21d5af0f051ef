package rewrite

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/flawless-engine/flawless"
)

// FuzzRewrite checks that no input panics, and that an accepted module is valid before and after.
func FuzzRewrite(f *testing.F) {
	for _, bin := range samples() {
		f.Add(bin)
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	f.Cleanup(func() { _ = r.Close(ctx) })
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		res, err := Rewrite(b, usual)
		if !bytes.Equal(b, kept) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if !errors.Is(err, flawless.Refused) && !errors.Is(err, flawless.Invalid) {
				t.Errorf("an error without a code: %v", err)
			}
			return
		}
		for _, bin := range [][]byte{withoutCustom(b), res.Binary} {
			m, err := r.CompileModule(ctx, bin)
			if err != nil {
				t.Fatalf("an accepted module is invalid: %v", err)
			}
			_ = m.Close(ctx)
		}
	})
}

// withoutCustom drops custom sections: wazero refuses modules with damaged names, which are valid.
func withoutCustom(b []byte) []byte {
	out := append([]byte(nil), b[:8]...)
	for r := (reader{bytes: b, pos: 8, end: len(b)}); r.more(); {
		id := r.byte()
		if part := r.part(r.count(1), ""); id != sectionCustom {
			out = putU(append(out, id), uint64(part.end-part.pos))
			out = append(out, part.bytes[part.pos:part.end]...)
		}
	}
	return out
}
