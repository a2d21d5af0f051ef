package guest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

func TestRefusedModules(t *testing.T) {
	t.Parallel()
	start := func(p *program) *program { return p.add("flawless_start") }
	foreign := start(hand(""))
	foreign.imports = append(foreign.imports, "env.abort")
	meter := start(hand(""))
	meter.imports = append(meter.imports, "flawless.quantum")
	other := start(hand(""))
	other.add("x", other.call("flawless.call", 0, 0), drop)
	other.types = map[string]string{"flawless.call": "ii"}
	blind := start(&program{})
	blind.add("flawless_describe")
	mute := start(&program{pages: 1})
	mute.add("flawless_describe")
	loud := start(&program{pages: 1, text: "no JSON"})
	loud.add("flawless_describe", loud.call("flawless.describe", textAt, 7))
	patient := start(hand(""))
	patient.add("_initialize", patient.call("flawless.wait", 0, 1), drop)
	typed := start(hand(""))
	typed.takes = "i"
	large := start(hand(""))
	large.pages = 17
	for _, row := range []struct {
		name string
		bin  []byte
		code flawless.Code
		text string
	}{
		{"text", []byte("package main"), flawless.Invalid, "WebAssembly"},
		{"an import that is not ours", foreign.wasm(), flawless.Refused, "env.abort"},
		{"the meter", meter.wasm(), flawless.Refused, "flawless.quantum"},
		{"an import of another type", other.wasm(), flawless.Refused, "call"},
		{"no start", hand("").wasm(), flawless.Refused, "flawless_start"},
		{"no memory", blind.wasm(), flawless.Refused, "memory"},
		{"a silent describe", mute.wasm(), flawless.Refused, "describe"},
		{"a manifest that is not JSON", loud.wasm(), flawless.Refused, "manifest"},
		{"a trap in _initialize", start(hand("")).add("_initialize", unreachable).wasm(), flawless.Refused, "unreachable"},
		{"waiting in _initialize", patient.wasm(), flawless.Refused, "wait"},
		{"an endless _initialize", start(hand("")).add("_initialize", forever, again).wasm(), flawless.Refused, "units"},
		{"functions that take something", typed.wasm(), flawless.Refused, "(i32)->()"},
		{"more memory than the limit", large.wasm(), flawless.Refused, "17 pages"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := newRuntime(t, Options{MemoryPages: 16}).Load(t.Context(), row.bin, nil)
			if err == nil || row.code != "" && !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.text) {
				t.Errorf("got %v, want %s with %q", err, row.code, row.text)
			}
		})
	}
}

func TestCancelledLoadIsNotARefusal(t *testing.T) {
	t.Parallel()
	p := hand("").add("flawless_start").add("_initialize", forever, again)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := newRuntime(t, Options{}).Load(ctx, p.wasm(), nil)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, flawless.Refused) {
		t.Errorf("got %v", err)
	}
}

func TestDamagedCacheIsRebuilt(t *testing.T) {
	t.Parallel()
	p := hand("").add("flawless_start")
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, file string)
	}{
		{"cut off", func(t *testing.T, file string) {
			if err := os.Truncate(file, 20); err != nil {
				t.Fatal(err)
			}
		}},
		{"empty", func(t *testing.T, file string) {
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
		}},
		{"with other bytes", func(t *testing.T, file string) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for k := len(b) / 4; k < len(b)/2; k++ {
				b[k] ^= 0x55
			}
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"without its folder", func(t *testing.T, file string) {
			if err := os.RemoveAll(filepath.Dir(file)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			loadProgram(t, p, Options{CacheDir: dir})
			files, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
			if len(files) == 0 {
				t.Fatal("nothing was cached")
			}
			r := newRuntime(t, Options{CacheDir: dir})
			for _, f := range files {
				if _, err := os.Stat(f); err == nil {
					row.damage(t, f)
				}
			}
			if _, err := r.Load(t.Context(), p.wasm(), nil); err != nil {
				t.Fatal(err)
			}
			loadProgram(t, p, Options{CacheDir: dir})
		})
	}
}

func TestGoModuleWithoutGeneratorsIsInitialisedForEachRun(t *testing.T) {
	t.Parallel()
	p := hand("").add("flawless_start")
	p.mark = "\xff Go buildinf:"
	p.add("_initialize", p.call("wasi_snapshot_preview1.random_get", scratchAt, 64), drop)
	m := loadProgram(t, p, Options{})
	if m.Shared() {
		t.Fatal("its runs share a base image")
	}
	hash := func(seed byte) [32]byte {
		i := begin(t, m, "", seed)
		defer i.Release()
		return i.Hash()
	}
	one, other, replayed := hash(1), hash(2), hash(1)
	if one == other {
		t.Error("two runs begin with the same randomness")
	}
	if one != replayed {
		t.Error("the replay of a run begins with other randomness")
	}
}

func TestLoadReportsProgress(t *testing.T) {
	t.Parallel()
	var seen []string
	_, err := newRuntime(t, Options{}).Load(t.Context(), hand("").add("flawless_start").wasm(), func(stage string, done float64) {
		if done < 0 || done > 1 {
			t.Errorf("%s is done to %v", stage, done)
		}
		if len(seen) == 0 || seen[len(seen)-1] != stage {
			seen = append(seen, stage)
		}
	})
	if got := strings.Join(seen, ","); err != nil || got != "rewriting,compiling,initialising" {
		t.Errorf("stages %s, %v", got, err)
	}
}

func TestTrappedInstanceIsNotReused(t *testing.T) {
	t.Parallel()
	m := loadProgram(t, hand("").add("flawless_start", unreachable).add("flawless_resume"), Options{})
	i := begin(t, m, "", 1)
	turn(t, i, In{Time: began})
	i.Release()
	if n := len(m.free); n != 0 {
		t.Errorf("%d instances are kept for another run", n)
	}
}
