package project

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/flawless-engine/flawless"
)

// Check checks the types of the TypeScript project in a directory with the tsc that is installed in it, or in a directory above.
// Bundling does not check types. It returns [flawless.NotFound] if there is no tsc.
func Check(ctx context.Context, dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(abs, "package.json")); err != nil {
		return fmt.Errorf("%s is not a TypeScript project: it has no package.json; the compilers of Go and Rust check types without --check: %w", dir, flawless.Invalid)
	}
	for up := abs; ; up = filepath.Dir(up) {
		tool, err := exec.LookPath(filepath.Join(up, "node_modules", ".bin", "tsc"))
		if err == nil {
			cmd := exec.CommandContext(ctx, tool, "--noEmit", "--project", abs)
			cmd.Dir = abs
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return fmt.Errorf("checking the types of %s:\n%s", dir, bytes.TrimSpace(out))
			}
			return err
		}
		if up == filepath.Dir(up) {
			return fmt.Errorf("checking the types of %s: tsc is not installed in the project; install it with: npm install --save-dev typescript: %w", dir, flawless.NotFound)
		}
	}
}
