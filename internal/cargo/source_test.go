package cargo

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSourcesAreOfTheWorkspace gives a list as cargo writes it.
func TestSourcesAreOfTheWorkspace(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	root := filepath.Join(top, "my flow")
	c := crate{Root: root, Target: filepath.Join(root, "target")}
	for _, name := range []string{"src/lib.rs", "crates/pay/src/lib.rs", "key.pem", "target/out/made.rs", "../registry/src/lib.rs"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spaced := top + "/my\\ flow/"
	list := spaced + "target/m.wasm: " + spaced + "src/lib.rs " + spaced + "key.pem crates/pay/src/lib.rs " + spaced + "target/out/made.rs " + top + "/registry/src/lib.rs\n"
	module := filepath.Join(root, "target", "m.wasm")
	if files, err := c.sources(module); err != nil || files != nil {
		t.Errorf("without a list: %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(root, "target", "m.d"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := c.sources(module)
	if names := slices.Sorted(maps.Keys(files)); err != nil || !slices.Equal(names, []string{"crates/pay/src/lib.rs", "src/lib.rs"}) {
		t.Errorf("the sources are %q, %v", names, err)
	}
	if string(files["src/lib.rs"]) != "src/lib.rs" {
		t.Errorf("the text is %q", files["src/lib.rs"])
	}
}
