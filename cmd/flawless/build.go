package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cargo"
	"github.com/flawless-engine/flawless/internal/gobuild"
)

func (a *app) buildCommand() *cobra.Command {
	var out string
	c := &cobra.Command{Use: "build [DIR]", Short: "Compile a project to a WebAssembly module", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			var warnings []string
			file, err := build(c.Context(), dir, out, func(w string) { warnings = append(warnings, w) })
			if err != nil {
				return err
			}
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					File     string   `json:"file"`
					Size     int64    `json:"size"`
					Warnings []string `json:"warnings,omitempty"`
				}{file, info.Size(), warnings})
			}
			for _, w := range warnings {
				a.warn(w)
			}
			fmt.Fprintf(a.out, "built %s (%s)\n", file, size(info.Size()))
			return nil
		}}
	c.Flags().StringVarP(&out, "output", "o", "", "output file (default NAME.wasm in the project directory)")
	return c
}

// warn shows a warning of a build.
func (a *app) warn(text string) { fmt.Fprintln(a.errs, text) }

// build compiles the project in dir, in Go or Rust, and returns the name of the module's file. Warn is
// given the compiler's warnings, and what will not work in a workflow.
func build(ctx context.Context, dir, out string, warn func(text string)) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if out != "" {
		if out, err = filepath.Abs(out); err != nil {
			return "", err
		}
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
		if err := os.WriteFile(out, b.Module, 0o644); err != nil {
			return "", fmt.Errorf("building %s: %w", dir, err)
		}
		return out, nil
	}
	if !inGoModule(abs) {
		return "", fmt.Errorf("%s is not a project: it has neither go.mod nor Cargo.toml; create one with: flawless new NAME: %w", dir, flawless.NotFound)
	}
	out = cmp.Or(out, filepath.Join(abs, projectOf(abs)+".wasm"))
	return out, gobuild.Build(ctx, dir, out)
}

// inGoModule tells whether a folder can be built by the go command: it has a go.mod, or it is a package of the Go
// module whose go.mod is in a folder above, as where one repository has several workflows.
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

// projectOf is the name of the project in a folder: the last part of its module's path.
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
