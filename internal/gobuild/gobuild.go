// Package gobuild builds modules from Go projects. It hides the go command, and the changes to the standard library
// for guests: every http.Transport calls through the engine if the SDK's package nethttp is imported, and functions
// that need a socket or a process return an error that says what to use instead. It changes no file of the project or
// of Go.
package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Build compiles the main package in a folder to the file out, without sources. flags are passed to the go command. It returns
// flawless.NotFound if the go command is not installed, and flawless.Refused if the standard library of this Go
// version is not supported. Otherwise the error contains the compiler's message.
func Build(ctx context.Context, dir, out string, flags ...string) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("the go command was not found: install Go 1.25 or newer and make sure that it is in PATH: %w", flawless.NotFound)
	}
	tmp, err := os.MkdirTemp("", "flawless-build")
	if err != nil {
		return fmt.Errorf("building %s: %w", dir, err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	args := []string{"build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out}
	overlay, err := overlayFor(ctx, tool, dir, tmp)
	if err != nil {
		return fmt.Errorf("building %s: %w", dir, err)
	}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	text, err := command(ctx, tool, dir, append(append(args, flags...), ".")...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Errorf("building %s:\n%s", dir, bytes.TrimSpace(text))
	case err != nil:
		return fmt.Errorf("building %s: %w", dir, err)
	}
	return nil
}

func command(ctx context.Context, tool, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off")
	return cmd
}

// overlayFor writes replacements for the files of the standard library that the project imports, and the overlay file
// that lists them. It returns the name of the overlay file, or "".
func overlayFor(ctx context.Context, tool, dir, tmp string) (string, error) {
	text, err := command(ctx, tool, dir, "list", "-deps", "-f", "{{.ImportPath}}\t{{.Dir}}", ".").Output()
	if err != nil {
		return "", nil //nolint:nilerr // the build reports the error better
	}
	var list struct{ Replace map[string]string }
	for line := range strings.Lines(string(text)) {
		pkg, from, _ := strings.Cut(strings.TrimSpace(line), "\t")
		for _, p := range patches {
			if p.pkg != pkg {
				continue
			}
			file := filepath.Join(from, p.file)
			changed, err := p.apply(file)
			if err != nil {
				return "", err
			}
			own := filepath.Join(tmp, strings.ReplaceAll(pkg, "/", "-")+"-"+p.file)
			if err := os.WriteFile(own, changed, 0o600); err != nil {
				return "", err
			}
			if list.Replace == nil {
				list.Replace = map[string]string{}
			}
			list.Replace[file] = own
		}
	}
	if list.Replace == nil {
		return "", nil
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	name := filepath.Join(tmp, "overlay.json")
	return name, os.WriteFile(name, b, 0o600)
}
