package guest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest/cache"
)

// TestKeptModuleRunsTheSame loads a module as a restarted server does.
func TestKeptModuleRunsTheSame(t *testing.T) {
	t.Parallel()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var outs []Out
	var hashes [][32]byte
	for _, o := range []Options{{}, {}, {copied: true}, {Interpreter: true}} {
		o.CacheDir = dir
		r := newRuntime(t, o)
		m, err := r.Load(t.Context(), bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.kept.Get(m.digest) == nil {
			t.Fatal("nothing is kept")
		}
		again, same := life(t, m, 1)
		if outs == nil {
			outs, hashes = again, same
		}
		if !reflect.DeepEqual(outs, again) || !reflect.DeepEqual(hashes, same) {
			t.Errorf("%+v: a run differs", o)
		}
		if m.Manifest().SDK != "test" || !m.Shared() {
			t.Errorf("%+v: manifest %+v, shared %v", o, m.Manifest(), m.Shared())
		}
		_ = m.Close(context.Background())
	}
}

func TestDamagedEntryIsNotUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := hand("").add("flawless_start")
	m := loadProgram(t, p, Options{CacheDir: dir})
	files, err := filepath.Glob(filepath.Join(dir, "prepared", m.digest+"-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v is kept, %v", files, err)
	}
	file := files[0]
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"nothing": {}, "three bytes": whole[:3], "half of it": whole[:len(whole)/2],
		"a flipped bit": append([]byte{whole[0] ^ 1}, whole[1:]...)} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if m.rt.kept.Get(m.digest) != nil {
			t.Errorf("%s is accepted as an entry", name)
		}
		loadProgram(t, p, Options{CacheDir: dir})
		if m.rt.kept.Get(m.digest) == nil {
			t.Errorf("after %s it is not kept again", name)
		}
	}
}

// TestMissingCodeIsCompiledAgain replaces code files by others that wazero accepts, but whose functions trap.
func TestMissingCodeIsCompiledAgain(t *testing.T) {
	t.Parallel()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(t *testing.T, file string, hollow []byte, p *cache.Entry){
		"gone": func(t *testing.T, file string, _ []byte, _ *cache.Entry) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
		"another one": func(t *testing.T, file string, hollow []byte, _ *cache.Entry) {
			if err := os.WriteFile(file, hollow, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"another one of the size that is expected": func(t *testing.T, file string, hollow []byte, p *cache.Entry) {
			if err := os.WriteFile(file, hollow, 0o600); err != nil {
				t.Fatal(err)
			}
			p.Code.Size = int64(len(hollow))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := newRuntime(t, Options{CacheDir: dir})
			m, err := r.Load(t.Context(), bin, nil)
			if err != nil {
				t.Fatal(err)
			}
			outs, hashes := life(t, m, 1)
			if m.Close(t.Context()) != nil || r.recall(t.Context(), m.digest) == nil {
				t.Fatal("it is not loaded again")
			}
			p := r.kept.Get(m.digest)
			apart := t.TempDir() // the code of the hollow module
			other, err := wazero.NewCompilationCacheWithDir(apart)
			if err != nil {
				t.Fatal(err)
			}
			hollow := wazero.NewRuntimeWithConfig(t.Context(), r.plain.WithCompilationCache(other))
			if _, err := compileWith(t.Context(), hollow, p.Rewritten.Hollow); err != nil {
				t.Fatal(err)
			}
			if err := hollow.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			code, err := os.ReadFile(filepath.Join(apart, p.Code.Name))
			if err != nil {
				t.Fatal(err)
			}
			damage(t, filepath.Join(dir, p.Code.Name), code, p)
			r.kept.Put(m.digest, p)

			for range 2 {
				r = newRuntime(t, Options{CacheDir: dir})
				if m, err = r.Load(t.Context(), bin, nil); err != nil {
					t.Fatal(err)
				}
				again, same := life(t, m, 1)
				if !reflect.DeepEqual(outs, again) || !reflect.DeepEqual(hashes, same) {
					t.Error("a run differs")
				}
				if err := m.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if now := r.kept.Get(m.digest); now == nil || now.Code == p.Code && name == "another one of the size that is expected" {
				t.Errorf("it was not kept again: %+v", now)
			}
			left, err := filepath.Glob(filepath.Join(dir, ".code-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// TestSimilarModulesKeepTheirOwnCode has two modules that differ only in a number in their code.
func TestSimilarModulesKeepTheirOwnCode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var bins [2][]byte
	for k := range bins {
		p := hand("1234")
		bins[k] = p.add("flawless_start", p.call("flawless.finish", 1, textAt, 1+k)).wasm()
	}
	ends := func(m *Module, want string) {
		t.Helper()
		i := begin(t, m, "", 1)
		out, err := i.Turn(t.Context(), In{Time: 1})
		if err != nil || out.Ended == nil || string(out.Ended.Output) != want {
			t.Errorf("it ends with %+v, %v; want %s", out.Ended, err, want)
		}
	}
	loaded := func(r *Runtime, bin []byte) *Module {
		t.Helper()
		m, err := r.Load(t.Context(), bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for range 2 { // compiled, then loaded again
		r := newRuntime(t, Options{CacheDir: dir})
		first, second := loaded(r, bins[0]), loaded(r, bins[1])
		ends(second, "12")
		ends(first, "1")
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		ends(second, "12")
		again := loaded(r, bins[0])
		ends(again, "1")
		if err := errors.Join(again.Close(t.Context()), second.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	}

	// The code of one under the name of the other.
	r := newRuntime(t, Options{CacheDir: dir})
	first, second := r.kept.Get(Digest(bins[0])), r.kept.Get(Digest(bins[1]))
	if first == nil || second == nil || first.Code.Name == second.Code.Name {
		t.Fatalf("code is kept as %+v and %+v", first, second)
	}
	code, err := os.ReadFile(filepath.Join(dir, second.Code.Name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, first.Code.Name), code, 0o600); err != nil {
		t.Fatal(err)
	}
	first.Code.Size = second.Code.Size
	r.kept.Put(Digest(bins[0]), first)
	m := loaded(r, bins[0])
	ends(m, "1")
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLeftoversOfACrashAreRemoved checks that the directory of an interrupted compilation is removed.
func TestLeftoversOfACrashAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, ".code-1"), filepath.Join(dir, ".code-2")
	for _, d := range []string{old, fresh} {
		if err := os.MkdirAll(filepath.Join(d, "whole"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, then, then); err != nil {
		t.Fatal(err)
	}
	loadProgram(t, hand("").add("flawless_start"), Options{CacheDir: dir})
	left, err := filepath.Glob(filepath.Join(dir, ".code-*"))
	if err != nil || len(left) != 1 || left[0] != fresh {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestLastModuleIsExpected checks that the last module is loaded ahead, and handed out once.
func TestLastModuleIsExpected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := hand("1").add("flawless_start").wasm(), hand("2").add("flawless_start").wasm()
	r := newRuntime(t, Options{CacheDir: dir})
	if r.Expect(t.Context()); r.expected != nil {
		t.Fatal("nothing was loaded, and something is expected")
	}
	for _, bin := range [][]byte{first, second, first} { // the third time from the cache
		m, err := r.Load(t.Context(), bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r = newRuntime(t, Options{CacheDir: dir})
	r.Expect(t.Context())
	expected := r.expected
	if expected == nil || expected.digest != Digest(first) {
		t.Fatalf("%+v is expected", expected)
	}
	read := func() ([]byte, error) { return nil, errors.New("it is read") }
	other, err := r.Reload(t.Context(), Digest(second), read, nil)
	if err != nil || r.expected != expected {
		t.Fatalf("another one is loaded: %v", err)
	}
	m, err := r.Reload(t.Context(), Digest(first), read, nil)
	if err != nil || m != expected || r.expected != nil {
		t.Fatalf("it is loaded again, %v", err)
	}
	again, err := r.Reload(t.Context(), Digest(first), read, nil)
	if err != nil || again == m {
		t.Fatalf("it is handed out twice, %v", err)
	}
	for _, m := range []*Module{m, again, other} {
		if i := begin(t, m, "", 1); i == nil {
			t.Error("it does not run")
		}
	}
	r.Expect(t.Context()) // the runtime closes it, as nobody takes it
}

// TestKeptModuleIsNotRead checks that a restarted server does not read a kept module.
func TestKeptModuleIsNotRead(t *testing.T) {
	t.Parallel()
	m := load(t, Options{})
	read := errors.New("it is read")
	again, err := newRuntime(t, Options{CacheDir: compiled()}).Reload(t.Context(), m.digest, func() ([]byte, error) { return nil, read }, nil)
	if err != nil {
		t.Fatal(err)
	}
	outs, _ := life(t, again, 1)
	if want, _ := life(t, m, 1); !reflect.DeepEqual(outs, want) {
		t.Error("a run differs")
	}
	if err := again.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r := newRuntime(t, Options{CacheDir: t.TempDir()})
	if _, err := r.Reload(t.Context(), m.digest, func() ([]byte, error) { return nil, read }, nil); !errors.Is(err, read) {
		t.Errorf("reading it fails: %v", err)
	}
	if _, err := r.Reload(t.Context(), m.digest, func() ([]byte, error) { return []byte("other"), nil }, nil); !errors.Is(err, flawless.Damaged) {
		t.Errorf("its bytes are others: %v", err)
	}
}
