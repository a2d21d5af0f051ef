//go:build !wasip1

package flawless_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

func TestSourceIsComplete(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == "testdata" {
				return fs.SkipDir
			}
			return err
		}
		ext := filepath.Ext(path)
		if strings.HasSuffix(path, "_test.go") || ext != ".go" && ext != ".s" && ext != ".mod" {
			return nil
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got, err := fs.ReadFile(flawless.Source, filepath.ToSlash(path))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not in Source (%v): name it in source.go", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
