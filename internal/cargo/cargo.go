// Package cargo builds modules from Rust packages. It hides how the cargo command is found, called and interpreted. It
// installs nothing and writes only to cargo's target directory.
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

// Built is the result of a build.
type Built struct {
	Module   []byte
	Name     string   // of the package
	Compiler string   // the compiler's warnings, "" where it has none
	Warnings []string // what will not work in a workflow, one sentence each
	// Sources has the Rust files that were compiled, as far as they are in the package's workspace, by path in it.
	Sources map[string][]byte
}

// Build compiles the package in a folder. It returns [flawless.NotFound] if cargo or the target is not installed, and
// [flawless.Invalid] if the folder has no package with a library. Otherwise the error contains the compiler's message.
func Build(ctx context.Context, dir string) (Built, error) {
	c, err := crateIn(ctx, dir)
	if err != nil {
		return Built{}, err
	}
	there, shared := c.library()
	if !there {
		return Built{}, fmt.Errorf("%s has no library, but workflows must be in one; put them in src/lib.rs: %w", dir, flawless.Invalid)
	}
	args := []string{"build", "--lib"}
	if !shared {
		args = []string{"rustc", "--lib", "--crate-type=cdylib"}
	}
	out, text, err := run(ctx, dir, append(args, "--release", "--quiet", "--target", c.target(), "--message-format=json-render-diagnostics")...)
	// Even if compiling failed: this may be the cause.
	foreign, e := foreignIn(ctx, dir, c.target())
	if err != nil {
		if more := explain(err.Error()); more != "" {
			foreign = append(foreign, more)
		}
	}
	switch {
	case err != nil && strings.Contains(err.Error(), "target may not be installed"):
		return Built{}, fmt.Errorf("building %s: the target %s is not installed; install it with: rustup target add %s: %w", dir, c.target(), c.target(), flawless.NotFound)
	case errors.Is(err, flawless.NotFound):
		return Built{}, err
	case err != nil && len(foreign) > 0:
		return Built{}, fmt.Errorf("building %s:\n%w\n\n%s", dir, err, strings.Join(foreign, "\n"))
	case err != nil:
		return Built{}, fmt.Errorf("building %s:\n%w", dir, err)
	case e != nil:
		return Built{}, fmt.Errorf("building %s: %w", dir, e)
	}
	bin, err := os.ReadFile(Module(out))
	if err != nil {
		return Built{}, fmt.Errorf("building %s: cargo did not build a module: %w", dir, err)
	}
	files, err := c.sources(Module(out))
	if err != nil {
		return Built{}, fmt.Errorf("reading the source files of %s: %w", dir, err)
	}
	return Built{Module: bin, Sources: files, Name: c.Name, Compiler: text, Warnings: append(foreign, unsupported(bin)...)}, nil
}

// Module returns the file of the last module in cargo's --message-format=json output, or "".
func Module(output []byte) (file string) {
	for line := range bytes.Lines(output) {
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

// crate is a Rust package as cargo describes it.
type crate struct {
	Name         string `json:"name"`
	Manifest     string `json:"manifest_path"`
	Root, Target string `json:"-"` // directories of the workspace, and of what cargo builds
	Dependencies []struct {
		Name string `json:"name"`
	} `json:"dependencies"`
	Targets []struct {
		Kinds []string `json:"kind"`
		Types []string `json:"crate_types"`
	} `json:"targets"`
}

// call runs cargo in a folder and returns its output.
func call(ctx context.Context, dir string, args ...string) ([]byte, error) {
	out, _, err := run(ctx, dir, args...)
	return out, err
}

// run is call, and also returns cargo's messages for people.
func run(ctx context.Context, dir string, args ...string) (out []byte, messages string, err error) {
	tool, err := exec.LookPath("cargo")
	if err != nil {
		return nil, "", fmt.Errorf("the cargo command was not found: install Rust 1.95 or newer (https://rustup.rs) and make sure that it is in PATH: %w", flawless.NotFound)
	}
	var printed, text bytes.Buffer
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &printed, &text
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(text.String()))
		}
		return nil, "", err
	}
	return printed.Bytes(), strings.TrimSpace(text.String()), nil
}

// crateIn returns the package in a folder.
func crateIn(ctx context.Context, dir string) (crate, error) {
	out, err := call(ctx, dir, "metadata", "--no-deps", "--format-version=1")
	if err != nil {
		return crate{}, fmt.Errorf("reading %s: %w", filepath.Join(dir, "Cargo.toml"), err)
	}
	var all struct {
		Packages []crate
		Root     string `json:"workspace_root"`
		Target   string `json:"target_directory"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return crate{}, fmt.Errorf("reading the metadata of %s from cargo: %w", dir, err)
	}
	for _, c := range all.Packages {
		if sameFile(c.Manifest, filepath.Join(dir, "Cargo.toml")) {
			c.Root, c.Target = all.Root, all.Target
			return c, nil
		}
	}
	return crate{}, fmt.Errorf("%s is a workspace, not a package; give the directory of a package in it: %w", dir, flawless.Invalid)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, e := os.Stat(b)
	return err == nil && e == nil && os.SameFile(x, y)
}

// target returns the target to build for: the published flawless.dev crates support only one.
func (c crate) target() string {
	for _, d := range c.Dependencies {
		if d.Name == "flawless" {
			return "wasm32-unknown-unknown"
		}
	}
	return "wasm32-wasip1"
}

// library reports whether the package has a library, and whether that already is a cdylib.
func (c crate) library() (there, shared bool) {
	for _, t := range c.Targets {
		if slices.Contains(t.Kinds, "lib") || slices.Contains(t.Kinds, "cdylib") || slices.Contains(t.Kinds, "rlib") {
			return true, slices.Contains(t.Types, "cdylib")
		}
	}
	return false, false
}
