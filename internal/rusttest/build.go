// Package rusttest builds Rust guests for the tests of other packages. It hides the toolchain.
//
// It builds into the user's cache, so that dependencies are compiled once for all tests.
package rusttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/cargo"
)

// Targets of a guest.
const (
	WASI    = "wasm32-wasip1"
	Unknown = "wasm32-unknown-unknown"
)

// script sets up the toolchain and builds. Its arguments: folder of toolchain.sh, target, folder of the package,
// target directory.
const script = `env=$("$1/toolchain.sh" "$2") && eval "$env" && cd "$3" &&
CARGO_TARGET_DIR=$4 exec cargo build --locked --release --target "$2" --message-format=json`

// LeftOut is the error for tests that need a tool which this machine does not have. The environment variable
// FLAWLESS_TEST_WITHOUT, set by tools/setup/setup.sh, lists the tools.
const LeftOut leftOut = "skipped, because its tools are not installed (make setup says how to get them)"

type leftOut string

func (l leftOut) Error() string { return string(l) }

// Needs returns [LeftOut] if this machine does not have the tool: rust, openssl or node.
func Needs(what string) error {
	if slices.Contains(strings.Fields(os.Getenv("FLAWLESS_TEST_WITHOUT")), what) {
		return fmt.Errorf("%s: %w", what, LeftOut)
	}
	return nil
}

// Check skips the test if the error is [LeftOut], and fails it for any other error.
func Check(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, LeftOut) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Build compiles the package in a folder, which may be relative, and returns the module. If the toolchain is missing,
// the error says how to get it. Build may be called concurrently, also by several processes.
func Build(dir, target string) ([]byte, error) {
	if err := Needs("rust"); err != nil {
		return nil, err
	}
	root, err := root()
	if err != nil {
		return nil, err
	}
	built, err := TargetDir("")
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", dir, err)
	}
	var out, text bytes.Buffer
	cmd := exec.Command("sh", "-c", script, "sh", filepath.Join(root, "sdk", "rust"), target, dir, built)
	cmd.Stdout, cmd.Stderr = &out, &text
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("building %s for %s: %w\n%s%s", dir, target, err, strings.TrimSpace(text.String()), rendered(out.Bytes()))
	}
	file := cargo.Module(out.Bytes())
	if file == "" {
		return nil, fmt.Errorf("building %s for %s: cargo reported no module", dir, target)
	}
	return os.ReadFile(file)
}

// Program compiles the program in a folder for this machine and returns its file name.
func Program(dir string) (string, error) {
	if err := Needs("rust"); err != nil {
		return "", err
	}
	built, err := TargetDir("")
	if err != nil {
		return "", fmt.Errorf("building %s: %w", dir, err)
	}
	if _, err := exec.LookPath("cargo"); err != nil {
		return "", fmt.Errorf("building %s: the cargo command was not found; get it from https://rustup.rs or with apt-get install cargo-web: %w", dir, err)
	}
	var out, text bytes.Buffer
	cmd := exec.Command("cargo", "build", "--locked", "--message-format=json-render-diagnostics")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &text
	cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+built)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", dir, err, strings.TrimSpace(text.String()))
	}
	for line := range bytes.Lines(out.Bytes()) {
		var m message
		if json.Unmarshal(line, &m) == nil && m.Executable != "" {
			return m.Executable, nil
		}
	}
	return "", fmt.Errorf("building %s: cargo reported no program", dir)
}

// TargetDir returns cargo's target directory: in the user's cache, one per clone of the repository and use, because
// packages with the same name must not share one.
func TargetDir(use string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root, err := root()
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(cache, "flawless-rust", fmt.Sprintf("target%s-%x", use, sum[:4])), err
}

// Environment returns the environment variables with which a process can build packages with cargo.
func Environment() ([]string, error) {
	root, err := root()
	if err != nil {
		return nil, err
	}
	built, err := TargetDir("-other")
	if err != nil {
		return nil, err
	}
	out := []string{"CARGO_TARGET_DIR=" + built}
	if Needs("rust") != nil {
		return out, nil
	}
	for _, target := range []string{WASI, Unknown} {
		var text bytes.Buffer
		cmd := exec.Command("sh", "-c", `env=$("$1/toolchain.sh" "$2") && eval "$env" && env`, "sh", filepath.Join(root, "sdk", "rust"), target)
		cmd.Stderr = &text
		b, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("finding the toolchain for %s: %w\n%s", target, err, text.String())
		}
		for line := range strings.Lines(string(b)) {
			name, _, _ := strings.Cut(line, "=")
			if name == "PATH" || name == "RUSTC" || name == "LD_LIBRARY_PATH" || strings.HasPrefix(name, "CARGO_TARGET_WASM") {
				out = append(out, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	return out, nil
}

// root returns the folder of the repository.
func root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "sdk", "rust", "toolchain.sh")); e == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			err = errors.New("there is no sdk/rust/toolchain.sh in any folder above")
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("building a guest in Rust: %w", err)
}

type message struct {
	Reason     string `json:"reason"`
	Executable string `json:"executable"`
	Message    struct {
		Rendered string `json:"rendered"`
	} `json:"message"`
}

// rendered returns the compiler's messages.
func rendered(out []byte) string {
	var b strings.Builder
	for line := range bytes.Lines(out) {
		var m message
		if json.Unmarshal(line, &m) == nil && m.Reason == "compiler-message" {
			b.WriteString("\n" + m.Message.Rendered)
		}
	}
	return b.String()
}
