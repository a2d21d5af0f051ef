package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	named    = regexp.MustCompile("`(Test\\w+|\\w+\\.txtar)`")
	declared = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
)

// TestNamedTestsExist checks the tests that docs/internals/tests.md names.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(path, ".txtar"):
			there[d.Name()] = true
		case strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range declared.FindAllSubmatch(b, -1) {
				there[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "internals", "tests.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := named.FindAllSubmatch(doc, -1)
	if len(names) < 50 {
		t.Errorf("only %d tests were found in docs/internals/tests.md", len(names))
	}
	for _, m := range names {
		if !there[string(m[1])] {
			t.Errorf("docs/internals/tests.md names %s, which does not exist", m[1])
		}
	}
}
