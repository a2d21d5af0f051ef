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

// architecture returns the root of the repository, and the page about the architecture.
func architecture(t *testing.T) (root, page string) {
	t.Helper()
	root = filepath.Join("..", "..")
	b, err := os.ReadFile(filepath.Join(root, "docs", "internals", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	return root, string(b)
}

// TestArchitectureNamesWhatExists checks the files and functions that the page names.
func TestArchitectureNamesWhatExists(t *testing.T) {
	t.Parallel()
	root, page := architecture(t)
	all := spot.FindAllStringSubmatch(page, -1)
	if len(all) < 30 {
		t.Errorf("only %d files and functions were found in the page", len(all))
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
			declared = `func \((?:\w+ )?\*?` + receiver + `(?:\[[\w, ]+\])?\) ` + name
		}
		if name != "" && !regexp.MustCompile(`(?m)^`+declared+`[([ ]`).Match(code) {
			t.Errorf("%s has no %s", m[1], strings.TrimPrefix(receiver+"."+name, "."))
		}
	}
}

// row is a row of a table of packages: the packages, and where to start reading.
var row = regexp.MustCompile("(?m)^\\| ((?:`[\\w/]+`(?:, )?)+) \\|.*\\| ([^|]+) \\|$")

// TestArchitectureTableNamesWhatExists checks where the tables of packages tell readers to start.
func TestArchitectureTableNamesWhatExists(t *testing.T) {
	t.Parallel()
	root, page := architecture(t)
	quoted := regexp.MustCompile("`([\\w./]+)`")
	checked := 0
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		var code strings.Builder
		for _, pkg := range quoted.FindAllStringSubmatch(m[1], -1) {
			files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pkg[1]), "*.go"))
			if err != nil || len(files) == 0 {
				t.Errorf("there is no package %s", pkg[1])
			}
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				code.Write(b)
			}
		}
		for _, q := range quoted.FindAllStringSubmatch(m[2], -1) {
			receiver, name, method := strings.Cut(q[1], ".")
			declared := `(?:func|type) ` + receiver
			if method {
				declared = `func \((?:\w+ )?\*?` + receiver + `(?:\[[\w, ]+\])?\) ` + name
			}
			if checked++; !regexp.MustCompile(`(?m)^` + declared + `[([ ]`).MatchString(code.String()) {
				t.Errorf("%s has no %s", m[1], q[1])
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d names were checked", checked)
	}
}
