package gobuild

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSourcesAreWhatIsCompiled: no tests, no embedded files, no files for other systems, no other modules.
func TestSourcesAreWhatIsCompiled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "shop")
	for name, text := range map[string]string{
		"go.mod":             "module example.com/m\n\ngo 1.25\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n",
		"main.go":            "package main\n\nimport (\n\t_ \"embed\"\n\n\t\"example.com/lib\"\n\t\"example.com/m/pay\"\n)\n\n//go:embed key.pem\nvar key string\n\nfunc main() { lib.F(); pay.F(key) }\n",
		"main_test.go":       "package main\n",
		"main_windows.go":    "package main\n",
		"key.pem":            "secret",
		".env":               "SECRET=1",
		"pay/pay.go":         "package pay\n\nfunc F(string) {}\n",
		"unused/unused.go":   "package unused\n",
		"../lib/go.mod":      "module example.com/lib\n",
		"../lib/lib.go":      "package lib\n\nfunc F() {}\n",
		"unused/main/run.go": "package main\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Sources(t.Context(), dir)
	if names := slices.Sorted(maps.Keys(files)); err != nil || !slices.Equal(names, []string{"shop/main.go", "shop/pay/pay.go"}) {
		t.Errorf("the sources are %q, %v", names, err)
	}
	if string(files["shop/pay/pay.go"]) != "package pay\n\nfunc F(string) {}\n" {
		t.Errorf("the text is %q", files["shop/pay/pay.go"])
	}
}
