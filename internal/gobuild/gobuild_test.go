package gobuild

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

func project(t *testing.T, text string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\n\ngo 1.25\n", "main.go": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestOnlyImportedPackagesAreOverlaid checks that a project without network code is built by plain Go.
func TestOnlyImportedPackagesAreOverlaid(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		want       int
	}{
		{"nothing", "package main\n\nfunc main() {}\n", 0},
		{"net", "package main\n\nimport _ \"net\"\n\nfunc main() {}\n", 2},
		{"os/exec", "package main\n\nimport _ \"os/exec\"\n\nfunc main() {}\n", 1},
		{"net/http", "package main\n\nimport _ \"net/http\"\n\nfunc main() {}\n", 3},
		{"an error of the project's", "package main\n\nimport _ \"no/such\"\n\nfunc main() {}\n", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			name, err := overlayFor(t.Context(), "go", project(t, row.text), tmp)
			files, _ := filepath.Glob(filepath.Join(tmp, "*.go"))
			if err != nil || len(files) != row.want || (name == "") != (row.want == 0) {
				t.Errorf("overlay %q with %v, %v", name, files, err)
			}
		})
	}
}

// TestUnsupportedGoVersionIsRefused checks anchors that are missing or ambiguous.
func TestUnsupportedGoVersionIsRefused(t *testing.T) {
	t.Parallel()
	for _, p := range patches {
		for _, text := range []string{"package x\n", strings.Repeat(p.edits[0].behind, 2)} {
			file := filepath.Join(t.TempDir(), p.file)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := p.apply(file); !errors.Is(err, flawless.Refused) || !strings.Contains(err.Error(), p.file) {
				t.Errorf("%s: %v", p.file, err)
			}
		}
	}
}

func TestCompilerErrorsAreQuoted(t *testing.T) {
	t.Parallel()
	err := Build(t.Context(), project(t, "package main\n\nfunc main() { sesame() }\n"), filepath.Join(t.TempDir(), "out.wasm"))
	if err == nil || !strings.Contains(err.Error(), "undefined: sesame") {
		t.Errorf("the error is %v", err)
	}
}
