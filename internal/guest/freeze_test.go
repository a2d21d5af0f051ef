package guest

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/memory"
)

// lifeFrozen is life with the guest frozen after every turn, and thawed by the next of the modules.
func lifeFrozen(t *testing.T, ms []*Module, workflow string, seed byte) (outs []Out, hashes [][32]byte, sizes []int) {
	t.Helper()
	i := begin(t, ms[0], workflow, seed)
	start := Start{Run: "wkf_1", Module: "basic", Workflow: "w", Input: []byte(`"` + workflow + `"`), Seed: bytes.Repeat([]byte{seed}, 32), Time: began}
	defer func() { i.Release() }()
	in := In{Time: began}
	for n := range 20 {
		out := turn(t, i, in)
		outs, hashes = append(outs, out), append(hashes, i.Hash())
		if out.Ended != nil {
			return outs, hashes, sizes
		}
		b, err := i.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(b))
		i.Release()
		if i, err = ms[n%len(ms)].Thaw(t.Context(), start, b); err != nil {
			t.Fatal(err)
		}
		if i.Hash() != hashes[n] {
			t.Fatalf("the guest differs when it is thawed after turn %d", n+1)
		}
		again, err := i.Freeze()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("freezing again after turn %d gives other bytes (%v)", n+1, err)
		}
		in.Answers = nil
		in.Time += 1000
		for k := len(out.Calls) - 1; k >= 0; k-- {
			in.Answers = append(in.Answers, reply(out.Calls[k]))
		}
		if len(in.Answers) == 0 {
			in.Time = out.Wake
		}
	}
	t.Fatal("the run does not end")
	return nil, nil, nil
}

func TestThawedGuestContinuesUnchanged(t *testing.T) {
	t.Parallel()
	ms := []*Module{load(t, Options{}), load(t, Options{copied: true}), load(t, Options{Interpreter: true}), load(t, Options{})}
	for _, workflow := range []string{"fan", "early fan"} {
		outs, hashes := lifeOf(t, ms[0], workflow, 1)
		frozenOuts, frozenHashes, sizes := lifeFrozen(t, ms, workflow, 1)
		if !reflect.DeepEqual(outs, frozenOuts) {
			t.Errorf("%s: turns differ:\n%+v\n%+v", workflow, outs, frozenOuts)
		}
		if !reflect.DeepEqual(hashes, frozenHashes) {
			t.Errorf("%s: memory differs", workflow)
		}
		t.Logf("%s: frozen it has %d bytes", workflow, sizes)
	}
}

func TestDamagedImageIsNotThawed(t *testing.T) {
	t.Parallel()
	m := load(t, Options{})
	i := begin(t, m, "fan", 1)
	defer i.Release()
	turn(t, i, In{Time: began})
	b, err := i.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	start := Start{Run: "wkf_1", Module: "basic", Workflow: "w", Input: []byte(`"fan"`), Seed: make([]byte, 32), Time: began}
	for name, change := range map[string]func([]byte) []byte{
		"nothing":            func([]byte) []byte { return nil },
		"half of it":         func(b []byte) []byte { return b[:len(b)/2] },
		"another format":     func(b []byte) []byte { b[0]++; return b },
		"another module":     func(b []byte) []byte { b[1]++; return b },
		"another base image": func(b []byte) []byte { b[33]++; return b },
		"a flipped bit":      func(b []byte) []byte { b[len(b)-9] ^= 4; return b },
		"a byte too many":    func(b []byte) []byte { return append(b, 0) },
	} {
		if _, err := m.Thaw(t.Context(), start, change(bytes.Clone(b))); !errors.Is(err, flawless.Damaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for cut := range 64 { // thawing must not panic
		w := frozen{b: bytes.Repeat([]byte{byte(cut)}, 3*cut)}
		j := begin(t, m, "fan", 1)
		w.read(j)
		if w.err == nil {
			t.Errorf("%d random bytes are accepted as a guest", 3*cut)
		}
		j.broken = true
		j.Release()
	}
}

// TestImageAboveTheMemoryLimitIsNotDamaged: a server with a higher limit can use it, and the error says so.
func TestImageAboveTheMemoryLimitIsNotDamaged(t *testing.T) {
	t.Parallel()
	m := load(t, Options{})
	i := begin(t, m, "fan", 1)
	defer i.Release()
	turn(t, i, In{Time: began})
	const more = 16
	pages, grown := i.mod.Memory().Grow(more)
	if !grown {
		t.Fatal("its memory does not grow")
	}
	b, err := i.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	m.rt.options.MemoryPages = pages + more/2
	start := Start{Run: "wkf_1", Module: "basic", Workflow: "w", Input: []byte(`"fan"`), Seed: make([]byte, 32), Time: began}
	if _, err := m.Thaw(t.Context(), start, b); !errors.Is(err, flawless.Refused) || errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "--memory-pages") {
		t.Errorf("thawing it: %v", err)
	}
}

// TestFreezeWholeNeedsNoBaseImage thaws guests into a module with another base image, as after an upgrade of the
// engine.
func TestFreezeWholeNeedsNoBaseImage(t *testing.T) {
	t.Parallel()
	m, other := load(t, Options{}), load(t, Options{})
	changed := bytes.Clone(other.base.Bytes)
	for k := range changed {
		changed[k] ^= 0x55
	}
	base, err := memory.NewImage(changed, false)
	if err != nil {
		t.Fatal(err)
	}
	base.Sum[0]++
	other.base.Close()
	other.base = base
	_, hashes := lifeOf(t, m, "fan", 1)
	i := begin(t, m, "fan", 1)
	defer i.Release()
	turn(t, i, In{Time: began})
	start := Start{Run: "wkf_1", Module: "basic", Workflow: "w", Input: []byte(`"fan"`), Seed: bytes.Repeat([]byte{1}, 32), Time: began}
	part, err := i.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Thaw(t.Context(), start, part); !errors.Is(err, flawless.Damaged) {
		t.Errorf("with another base image: %v", err)
	}
	whole, err := i.FreezeWhole()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // also into a reused instance
		j, err := other.Thaw(t.Context(), start, whole)
		if err != nil {
			t.Fatal(err)
		}
		if j.Hash() != hashes[0] {
			t.Error("the thawed guest differs")
		}
		j.Release()
	}
	t.Logf("%d bytes, and %d whole", len(part), len(whole))
}

func TestFreezeIsRefused(t *testing.T) {
	t.Parallel()
	fresh := begin(t, load(t, Options{}), "empty", 1)
	waiting := begin(t, loadProgram(t, synchronous(), Options{}), "", 1)
	turn(t, waiting, In{Time: began})
	ended := begin(t, load(t, Options{}), "empty", 1)
	turn(t, ended, In{Time: began})
	for name, i := range map[string]*Instance{"before its first turn": fresh, "in the middle of a function": waiting, "ended": ended} {
		if _, err := i.Freeze(); !errors.Is(err, flawless.Refused) {
			t.Errorf("%s: %v", name, err)
		}
		i.Release()
	}
}

func BenchmarkFreeze(b *testing.B) {
	i := begin(b, load(b, Options{}), "fan", 1)
	defer i.Release()
	turn(b, i, In{Time: began})
	size := 0
	for b.Loop() {
		f, err := i.Freeze()
		if err != nil {
			b.Fatal(err)
		}
		size = len(f)
	}
	b.ReportMetric(float64(size), "bytes")
}

func BenchmarkThaw(b *testing.B) {
	m := load(b, Options{})
	i := begin(b, m, "fan", 1)
	defer i.Release()
	turn(b, i, In{Time: began})
	f, err := i.Freeze()
	if err != nil {
		b.Fatal(err)
	}
	start := Start{Run: "wkf_1", Module: "basic", Workflow: "w", Input: []byte(`"fan"`), Seed: make([]byte, 32), Time: began}
	for b.Loop() {
		j, err := m.Thaw(b.Context(), start, f)
		if err != nil {
			b.Fatal(err)
		}
		j.Release()
	}
}
