package tsbuild_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// compiler is the one that engine.wasm was built with: another one gives other bytes.
const compiler = "Debian clang version 19.1.7 (3~deb12u1)"

// TestEngineIsCurrent builds the engine of TypeScript modules again from its sources.
func TestEngineIsCurrent(t *testing.T) {
	t.Parallel()
	version, err := exec.Command("clang-19", "--version").Output()
	if first, _, _ := strings.Cut(string(version), "\n"); err != nil || first != compiler {
		without := strings.Fields(os.Getenv("FLAWLESS_TEST_WITHOUT"))
		if err == nil || slices.Contains(without, "wasmcc") || slices.Contains(without, "rust") {
			t.Skipf("left out: it takes %s, and there is %q", compiler, first)
		}
		t.Fatalf("there is no clang-19: run eval \"$(tools/setup/setup.sh test)\": %v", err)
	}
	out := filepath.Join(t.TempDir(), "engine.wasm")
	if text, err := exec.Command("../../sdk/ts/engine/build.sh", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("engine.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("engine.wasm is not what sdk/ts/engine gives: run sdk/ts/engine/build.sh")
	}
}
