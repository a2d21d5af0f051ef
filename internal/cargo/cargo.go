// Package cargo builds modules from packages in Rust. It hides the cargo command: how it is found,
// called and understood. It installs nothing and writes only where cargo keeps what it builds.
package cargo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Build compiles the package in a folder and returns the module and the package's name. It returns
// [flawless.NotFound] where cargo or the target is not installed, [flawless.Invalid] for a folder
// without a package that has a library; else the error is what the compiler says.
func Build(ctx context.Context, dir string) (bin []byte, name string, err error) {
	c, err := crateIn(ctx, dir)
	if err != nil {
		return nil, "", err
	}
	there, shared := c.library()
	if !there {
		return nil, "", fmt.Errorf("%s has no library: a workflow is one; put it in src/lib.rs: %w", dir, flawless.Invalid)
	}
	args := []string{"build", "--lib"}
	if !shared {
		args = []string{"rustc", "--lib", "--crate-type=cdylib"}
	}
	said, err := call(ctx, dir, append(args, "--release", "--target", c.target(), "--message-format=json-render-diagnostics")...)
	switch {
	case err != nil && strings.Contains(err.Error(), "target may not be installed"):
		return nil, "", fmt.Errorf("building %s: the target %s is not there; add it with: rustup target add %s: %w", dir, c.target(), c.target(), flawless.NotFound)
	case errors.Is(err, flawless.NotFound):
		return nil, "", err
	case err != nil:
		return nil, "", fmt.Errorf("building %s:\n%w", dir, err)
	}
	if bin, err = os.ReadFile(Module(said)); err != nil {
		return nil, "", fmt.Errorf("building %s: cargo has built no module: %w", dir, err)
	}
	return bin, c.Name, nil
}

// Module returns the file of the last module that cargo has built, "" where there is none. said is
// what cargo prints with --message-format=json.
func Module(said []byte) (file string) {
	for line := range bytes.Lines(said) {
		var m struct {
			Filenames []string `json:"filenames"`
		}
		if json.Unmarshal(line, &m) != nil {
			continue
		}
		for _, f := range m.Filenames {
			if filepath.Ext(f) == ".wasm" {
				file = f
			}
		}
	}
	return file
}

// crate is a package in Rust, as cargo describes it.
type crate struct {
	Name         string `json:"name"`
	Manifest     string `json:"manifest_path"`
	Dependencies []struct {
		Name string `json:"name"`
	} `json:"dependencies"`
	Targets []struct {
		Kinds []string `json:"kind"`
		Types []string `json:"crate_types"`
	} `json:"targets"`
}

// call runs cargo in a folder and returns what it prints.
func call(ctx context.Context, dir string, args ...string) ([]byte, error) {
	tool, err := exec.LookPath("cargo")
	if err != nil {
		return nil, fmt.Errorf("the cargo command is not there: install Rust 1.95 or newer (https://rustup.rs) and have it in PATH: %w", flawless.NotFound)
	}
	var out, text bytes.Buffer
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &out, &text
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(text.String()))
		}
		return nil, err
	}
	return out.Bytes(), nil
}

// crateIn returns the package in a folder.
func crateIn(ctx context.Context, dir string) (crate, error) {
	out, err := call(ctx, dir, "metadata", "--no-deps", "--format-version=1")
	if err != nil {
		return crate{}, fmt.Errorf("reading %s: %w", filepath.Join(dir, "Cargo.toml"), err)
	}
	var all struct{ Packages []crate }
	if err := json.Unmarshal(out, &all); err != nil {
		return crate{}, fmt.Errorf("reading what cargo tells of %s: %w", dir, err)
	}
	for _, c := range all.Packages {
		if sameFile(c.Manifest, filepath.Join(dir, "Cargo.toml")) {
			return c, nil
		}
	}
	return crate{}, fmt.Errorf("%s is a workspace and no package; name the folder of a package in it: %w", dir, flawless.Invalid)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, e := os.Stat(b)
	return err == nil && e == nil && os.SameFile(x, y)
}

// target is what the package is built for: the published crates know one target only.
func (c crate) target() string {
	for _, d := range c.Dependencies {
		if d.Name == "flawless" {
			return "wasm32-unknown-unknown"
		}
	}
	return "wasm32-wasip1"
}

// library tells whether the package has a library, and whether that is one for WebAssembly already.
func (c crate) library() (there, shared bool) {
	for _, t := range c.Targets {
		if slices.Contains(t.Kinds, "lib") || slices.Contains(t.Kinds, "cdylib") || slices.Contains(t.Kinds, "rlib") {
			return true, slices.Contains(t.Types, "cdylib")
		}
	}
	return false, false
}
