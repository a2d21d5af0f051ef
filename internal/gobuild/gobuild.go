// Package gobuild builds modules from projects in Go. It hides the go command, and what of Go's standard
// library a guest is built with otherwise: every http.Transport calls through the engine once the SDK's
// package nethttp is imported, and what needs a socket or a process returns an error that says what to use
// instead. It changes no file of the project or of Go.
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

// Build compiles the main package in a folder into the file out; flags are more of the go command's own. It is
// flawless.NotFound where the go command is not installed, and flawless.Refused where Go's library is not as it
// is known here; else the error is what the compiler says.
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

// overlayFor writes the files that take the place of Go's own, of those packages that the project uses, and
// the list of them. It returns the list's name, "" where there are none.
func overlayFor(ctx context.Context, tool, dir, tmp string) (string, error) {
	text, err := command(ctx, tool, dir, "list", "-deps", "-f", "{{.ImportPath}}\t{{.Dir}}", ".").Output()
	if err != nil {
		return "", nil //nolint:nilerr // the build says better what is wrong
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
