package endpoint

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"github.com/flawless-engine/flawless"
)

// defaultDir returns the default working directory: .flawless in the home directory, or on Windows in %APPDATA%,
// where programs keep their data.
func defaultDir(system string, env func(string) string, home func() (string, error)) (string, error) {
	if system == "windows" {
		data := env("APPDATA")
		if data == "" {
			return "", fmt.Errorf("%%APPDATA%% is not set; set the working directory with --working-dir: %w", flawless.Invalid)
		}
		return filepath.Join(data, ".flawless"), nil
	}
	dir, err := home()
	if err != nil {
		return "", fmt.Errorf("there is no home directory; set the working directory with --working-dir: %w", flawless.Invalid)
	}
	return filepath.Join(dir, ".flawless"), nil
}

// homeDir returns $HOME. If it is not set, as in services and containers, it asks the system.
func homeDir() (string, error) {
	dir, err := os.UserHomeDir()
	if err != nil {
		if u, e := user.Current(); e == nil && u.HomeDir != "" {
			return u.HomeDir, nil
		}
	}
	return dir, err
}
