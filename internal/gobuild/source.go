package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/flawless-engine/flawless"
)

// Sources returns the Go files that [Build] compiles for the main package in a folder, as far as they belong to the folder's own Go
// module: no dependencies, no tests, no embedded files, nothing from elsewhere. Names begin with the name of the module's
// directory, as positions in stacks do.
func Sources(ctx context.Context, dir string) (map[string][]byte, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("the go command was not found: install Go 1.25 or newer and make sure that it is in PATH: %w", flawless.NotFound)
	}
	text, err := command(ctx, tool, dir, "list", "-deps", "-json=Dir,GoFiles,Module", ".").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the source files of %s: %w", dir, err)
	}
	files := map[string][]byte{}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var pkg struct {
			Dir     string
			GoFiles []string
			Module  *struct {
				Main bool
				Dir  string
			}
		}
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			return files, nil
		} else if err != nil {
			return nil, fmt.Errorf("listing the source files of %s: %w", dir, err)
		}
		if pkg.Module == nil || !pkg.Module.Main {
			continue
		}
		within, err := filepath.Rel(pkg.Module.Dir, pkg.Dir)
		if err != nil || strings.HasPrefix(within, "..") {
			continue
		}
		for _, name := range pkg.GoFiles {
			text, err := os.ReadFile(filepath.Join(pkg.Dir, name))
			if err != nil {
				return nil, fmt.Errorf("reading the source files of %s: %w", dir, err)
			}
			files[path.Join(filepath.Base(pkg.Module.Dir), filepath.ToSlash(within), name)] = text
		}
	}
}
