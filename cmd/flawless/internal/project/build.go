package project

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cargo"
	"github.com/flawless-engine/flawless/internal/gobuild"
	"github.com/flawless-engine/flawless/internal/source"
	"github.com/flawless-engine/flawless/internal/tsbuild"
)

// Build compiles the Go, Rust or TypeScript project in dir and returns the path of the module: out, or by default NAME.wasm in
// dir. With sources, it puts the project's own source files into the module. It calls warn with each warning of the
// compiler, and about what does not work in a workflow.
func Build(ctx context.Context, dir, out string, sources bool, warn func(text string)) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if out != "" {
		if out, err = filepath.Abs(out); err != nil {
			return "", err
		}
		if _, err := os.Stat(filepath.Dir(out)); err != nil {
			return "", fmt.Errorf("writing the module: %v: %w", err, flawless.Invalid)
		}
	}
	if _, err := os.Stat(abs); err != nil {
		return "", fmt.Errorf("looking for a project: %v: %w", err, flawless.Invalid)
	}
	if _, err := os.Stat(filepath.Join(abs, "Cargo.toml")); err == nil {
		b, err := cargo.Build(ctx, abs)
		if err != nil {
			return "", err
		}
		if b.Compiler != "" {
			warn(b.Compiler)
		}
		for _, w := range b.Warnings {
			warn("warning: " + w)
		}
		out = cmp.Or(out, filepath.Join(abs, b.Name+".wasm"))
		if !sources {
			b.Sources = nil
		}
		return out, write(out, b.Module, b.Sources, warn)
	}
	if _, err := os.Stat(filepath.Join(abs, "package.json")); err == nil && !inGoModule(abs) {
		b, err := tsbuild.Build(ctx, abs)
		if err != nil {
			return "", err
		}
		for _, w := range b.Warnings {
			warn(w)
		}
		out = cmp.Or(out, filepath.Join(abs, b.Name+".wasm"))
		if !sources {
			b.Sources = nil
		}
		return out, write(out, b.Module, b.Sources, warn)
	}
	if !inGoModule(abs) {
		return "", fmt.Errorf("%s is not a project: it has no go.mod, Cargo.toml or package.json; create one with: flawless new NAME: %w", dir, flawless.Invalid)
	}
	out = cmp.Or(out, filepath.Join(abs, projectOf(abs)+".wasm"))
	if err := gobuild.Build(ctx, dir, out); err != nil || !sources {
		return out, err
	}
	files, err := gobuild.Sources(ctx, dir)
	if err != nil {
		return "", err
	}
	bin, err := os.ReadFile(out)
	if err != nil {
		return "", fmt.Errorf("building %s: %w", dir, err)
	}
	return out, write(out, bin, files, warn)
}

// write writes a module with these source files.
func write(out string, bin []byte, files map[string][]byte, warn func(text string)) error {
	bin, left, err := source.Add(bin, files)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		warn(fmt.Sprintf("warning: %s not in the module: a source file is text of at most 1 MiB, and all together have at most 8 MiB", strings.Join(left, ", ")))
	}
	if err := os.WriteFile(out, bin, 0o644); err != nil {
		return fmt.Errorf("writing the module: %w", err)
	}
	return nil
}

// inGoModule reports whether the go command can build a directory: it has a go.mod, or it is a package in a Go
// module. One repository may have several workflows.
func inGoModule(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return true
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.go")); err != nil || len(files) == 0 {
		return false
	}
	for up := filepath.Dir(dir); ; up = filepath.Dir(up) {
		if _, err := os.Stat(filepath.Join(up, "go.mod")); err == nil {
			return true
		}
		if up == filepath.Dir(up) {
			return false
		}
	}
}

// projectOf returns the name of the project in a directory: the last element of its module path.
func projectOf(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if path, is := strings.CutPrefix(strings.TrimSpace(line), "module "); is {
				return filepath.Base(strings.Trim(strings.TrimSpace(path), `"`))
			}
		}
	}
	return filepath.Base(dir)
}
