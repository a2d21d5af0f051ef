package project

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPackageInGoModuleIsProject: a repository can have one go.mod and a directory for each workflow.
func TestPackageInGoModuleIsProject(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"shop/go.mod", "shop/order/main.go", "shop/docs/page.md", "alone/main.go"} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]bool{"shop": true, "shop/order": true, "shop/docs": false, "alone": false} {
		if got := inGoModule(filepath.Join(root, filepath.FromSlash(dir))); got != want {
			t.Errorf("%s: %v, want %v", dir, got, want)
		}
	}
}
