package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// spot is how docs/internals/architecture.md names a file, and often a function or method in it.
var spot = regexp.MustCompile("`((?:internal|cmd|client)/[\\w/]+\\.go)`(?: `(?:(\\w+)\\.)?(\\w+)`)?")

// TestArchitectureNamesWhatExists: whoever follows the page lands where it says.
func TestArchitectureNamesWhatExists(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "internals", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := spot.FindAllStringSubmatch(string(page), -1)
	if len(all) < 30 {
		t.Errorf("the page names %d places only", len(all))
	}
	for _, m := range all {
		code, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m[1])))
		if err != nil {
			t.Error(err)
			continue
		}
		receiver, name := m[2], m[3]
		declared := "(?:func|type) " + name
		if receiver != "" {
			declared = `func \(\w+ \*?` + receiver + `\) ` + name
		}
		if name != "" && !regexp.MustCompile(`(?m)^`+declared+`[([ ]`).Match(code) {
			t.Errorf("%s has no %s", m[1], strings.TrimPrefix(receiver+"."+name, "."))
		}
	}
}
