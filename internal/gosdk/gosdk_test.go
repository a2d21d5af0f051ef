package gosdk

import (
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "copy the SDK into _source")

// TestCopyOfTheSDKIsCurrent compares the copy with sdk/go, or makes it anew with -update.
func TestCopyOfTheSDKIsCurrent(t *testing.T) {
	want := original(t)
	if *update {
		write(t, want)
	}
	got := tree(t, os.DirFS(folder))
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s is not as in sdk/go; run: go generate ./internal/gosdk", name)
		}
	}
	for name := range got {
		if _, there := want[name]; !there {
			t.Errorf("%s is not in sdk/go; run: go generate ./internal/gosdk", name)
		}
	}
	if embedded := tree(t, Source()); !*update && !maps.Equal(embedded, got) {
		t.Errorf("%d files are embedded, %d are in %s", len(embedded), len(got), folder)
	}
}

// original returns the files of the SDK that its users compile, and its licence.
func original(t *testing.T) map[string]string {
	root := filepath.Join("..", "..")
	files := tree(t, os.DirFS(filepath.Join(root, "sdk", "go")))
	maps.DeleteFunc(files, func(name, _ string) bool {
		return strings.HasSuffix(name, "_test.go") || !slices.Contains([]string{".go", ".s", ".mod"}, filepath.Ext(name))
	})
	files["go.mod"+Suffix] = files["go.mod"]
	delete(files, "go.mod")
	licence, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	files["LICENSE"] = string(licence)
	return files
}

func write(t *testing.T, files map[string]string) {
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		to := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tree returns all files below a folder by name.
func tree(t *testing.T, dir fs.FS) map[string]string {
	files := map[string]string{}
	err := fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(dir, path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
