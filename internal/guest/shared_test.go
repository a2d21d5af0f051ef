package guest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func codeFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestModulesShareCode: modules that differ in their data alone, such as programs for the same interpreter, are compiled
// once. One of them may find that the code is damaged.
func TestModulesShareCode(t *testing.T) {
	t.Parallel()
	with := func(data string) []byte {
		p := hand("").add("flawless_start")
		p.mark = data
		return p.wasm()
	}
	bin, other := with("one program"), with("another one")
	dir := t.TempDir()
	r := newRuntime(t, Options{CacheDir: dir})
	load := func(bin []byte) {
		t.Helper()
		m, err := r.Load(t.Context(), bin, func(string, float64) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load(bin)
	first := codeFiles(t, dir)
	load(other)
	if both := codeFiles(t, dir); len(first) != 1 || len(both) != 1 {
		t.Fatalf("files with compiled code: %q, and %q with the second module", first, both)
	}
	r.RemoveCode(func(digest string) bool { return digest == Digest(other) })
	if left := codeFiles(t, dir); len(left) != 1 {
		t.Errorf("the code of the second module was removed with the first one: %q is left", left)
	}

	// Half a file, as no crash leaves it, but a bad disk may.
	info, err := os.Stat(first[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(first[0], info.Size()/2); err != nil {
		t.Fatal(err)
	}
	load(bin)
	if mended, err := os.Stat(first[0]); err != nil || mended.Size() != info.Size() {
		t.Errorf("damaged code was not compiled again: %v, %v", mended, err)
	}
}

// TestModulesShareCodeAtOnce loads modules with the same code at the same moment from the cache, again and again.
func TestModulesShareCodeAtOnce(t *testing.T) {
	t.Parallel()
	with := func(data string) []byte {
		p := hand("").add("flawless_start")
		p.mark = data
		return p.wasm()
	}
	dir := t.TempDir()
	bins := [][]byte{with("program a"), with("program b"), with("program c"), with("program d"), with("program e"), with("program f")}
	for range 40 {
		r := newRuntime(t, Options{CacheDir: dir})
		var all sync.WaitGroup
		for _, bin := range bins {
			all.Go(func() {
				m, err := r.Load(t.Context(), bin, func(string, float64) {})
				if err != nil {
					t.Error(err)
					return
				}
				if err := m.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}
