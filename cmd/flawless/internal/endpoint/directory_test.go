package endpoint

import (
	"errors"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/flawless-engine/flawless"
)

func TestDefaultWorkingDirectory(t *testing.T) {
	t.Parallel()
	none := errors.New("no home")
	for name, row := range map[string]struct {
		system, data, home string
		want               string
	}{
		"Linux":                   {"linux", "", "home/ann", filepath.Join("home/ann", ".flawless")},
		"macOS":                   {"darwin", "data", "home/ann", filepath.Join("home/ann", ".flawless")},
		"Windows":                 {"windows", "data", "home/ann", filepath.Join("data", ".flawless")},
		"Windows without APPDATA": {"windows", "", "home/ann", ""},
		"no home":                 {"linux", "", "", ""},
	} {
		got, err := defaultDir(row.system, func(string) string { return row.data }, func() (string, error) {
			if row.home == "" {
				return "", none
			}
			return row.home, nil
		})
		if got != row.want || row.want == "" && !errors.Is(err, flawless.Invalid) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestHomeDirectoryWithoutEnvironment(t *testing.T) {
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"HOME", "USERPROFILE", "home"} {
		t.Setenv(name, "")
	}
	if dir, err := homeDir(); err != nil || dir != u.HomeDir {
		t.Errorf("%q, %v; the system says %q", dir, err, u.HomeDir)
	}
}
