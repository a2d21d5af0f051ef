package engine

import (
	"slices"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestUnusedCompiledCodeIsRemoved adds three versions of a module, with an open run on the first, and takes
// all code away under the run in the end.
func TestUnusedCompiledCodeIsRemoved(t *testing.T) {
	t.Parallel()
	ctx, kv, dir := t.Context(), mem.New(), t.TempDir()
	restart := func() (*Engine, *guest.Runtime) {
		rt, err := guest.NewRuntime(ctx, guest.Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(ctx, kv)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Open(ctx, Options{Store: s, Guest: rt, OwnCode: true, Kinds: effect.Kinds(effect.Options{})})
		if err != nil {
			t.Fatal(err)
		}
		return e, rt
	}
	e, rt := restart()
	var digests []string
	for version := range 3 {
		bin := append(keptModule(t), 0, 2, 1, 'a'+byte(version)) // a section of its own
		m, _, err := e.AddModule(ctx, "kept", bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, m.Digest)
		if version == 0 {
			if _, _, err := e.Start(ctx, Start{Module: "kept", Workflow: "keep", ID: "run"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	keeps := func(want ...string) {
		t.Helper()
		before := e.Health().Code
		if err := e.tidyCode(ctx); err != nil {
			t.Fatal(err)
		}
		got := rt.Kept()
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("code of %v is kept, want %v", got, want)
		}
		if after := e.Health().Code; after >= before || after <= 0 {
			t.Errorf("there were %d bytes of code, and are %d", before, after)
		}
	}
	keeps(digests[0], digests[2])
	until(t, e, "run", func(r flawless.Run) bool { return r.Turns == 1 })
	e.Kill()
	_ = rt.Close(ctx)

	e, rt = restart()
	if rt.RemoveCode(func(string) bool { return false }) == 0 || rt.CodeSize() != 0 {
		t.Errorf("%d bytes of code are left", rt.CodeSize())
	}
	if err := e.verify(ctx, "run"); err != nil {
		t.Errorf("a replay without the code: %v", err)
	}
	if err := e.tidyCode(ctx); err != nil || !slices.Contains(rt.Kept(), digests[0]) {
		t.Errorf("the code was not made and kept again: %v, %v", rt.Kept(), err)
	}
	if _, err := e.Terminate(ctx, "run", flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.library.Load(ctx, digests[2]); err != nil {
		t.Fatal(err)
	}
	keeps(digests[2])
	e.Kill()
	_ = rt.Close(ctx)
}
