package workdir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

func signed(t *testing.T, start uint64) (dir string, id flawless.Identity) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	if err := os.MkdirAll(filepath.Join(dir, dataName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, dataName, "table"), []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	id = flawless.Identity{ID: flawless.NewStoreID(now), Made: now}
	for range 2 { // the second store replaces the first
		if err := Sign(dir, id, start, now); err != nil {
			t.Fatal(err)
		}
	}
	return dir, id
}

// replaced replaces a file or directory with a copy of itself.
func replaced(t *testing.T, path string) {
	t.Helper()
	aside := filepath.Join(t.TempDir(), "aside")
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(aside)
	if err == nil && info.IsDir() {
		err = os.CopyFS(path, os.DirFS(aside))
	} else if err == nil {
		var text []byte
		if text, err = os.ReadFile(aside); err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// linked copies a directory with hard links.
func linked(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "linked")
	if err := os.MkdirAll(filepath.Join(out, dataName), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileName, filepath.Join(dataName, "table")} {
		if err := os.Link(filepath.Join(dir, name), filepath.Join(out, name)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestCopiesAreDetected covers what users do with directories.
func TestCopiesAreDetected(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		do     func(t *testing.T, dir string) string // returns the directory to open
		copied bool
	}{
		{"nothing", func(_ *testing.T, dir string) string { return dir }, false},
		{"it was renamed", func(t *testing.T, dir string) string {
			if err := os.Rename(dir, dir+"2"); err != nil {
				t.Fatal(err)
			}
			return dir + "2"
		}, false},
		{"what is in it was moved to another one", func(t *testing.T, dir string) string {
			other := dir + "2"
			if err := os.Mkdir(other, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{fileName, dataName} {
				if err := os.Rename(filepath.Join(dir, name), filepath.Join(other, name)); err != nil {
					t.Fatal(err)
				}
			}
			return other
		}, false},
		{"it was copied", func(t *testing.T, dir string) string {
			if err := os.CopyFS(dir+"2", os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			return dir + "2"
		}, true},
		{"it was copied, and this is the original", func(t *testing.T, dir string) string {
			if err := os.CopyFS(dir+"2", os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			return dir
		}, false},
		{"it was restored in its place", func(t *testing.T, dir string) string { replaced(t, dir); return dir }, true},
		{"its database was restored in its place", func(t *testing.T, dir string) string {
			replaced(t, filepath.Join(dir, dataName))
			return dir
		}, true},
		{"its identity file was restored", func(t *testing.T, dir string) string {
			replaced(t, filepath.Join(dir, fileName))
			return dir
		}, true},
		{"it was copied with hard links", linked, true},
		{"it was copied with hard links, and this is the original", func(t *testing.T, dir string) string { linked(t, dir); return dir }, false},
		{"its identity file is damaged", func(t *testing.T, dir string) string {
			if err := os.Truncate(filepath.Join(dir, fileName), 10); err != nil {
				t.Fatal(err)
			}
			return dir
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir, id := signed(t, 7)
			opened := row.do(t, dir)
			m, err := Look(opened)
			if err == nil {
				err = Match(opened, m, id, 7)
			}
			if errors.Is(err, Copied) != row.copied || err != nil && !row.copied {
				t.Errorf("it is a copy: %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), opened) || !strings.Contains(err.Error(), "--accept-copy")) {
				t.Errorf("it does not say what to do: %v", err)
			}
		})
	}
}

// TestMatchingDirectoryAndStoreAreAccepted compares marks with the store in the same directory.
func TestMatchingDirectoryAndStoreAreAccepted(t *testing.T) {
	t.Parallel()
	dir, id := signed(t, 7)
	m, err := Look(dir)
	if err != nil {
		t.Fatal(err)
	}
	other := flawless.Identity{ID: flawless.NewStoreID(time.Now())}
	for _, row := range []struct {
		name   string
		mark   *Mark
		id     flawless.Identity
		starts uint64
		copied bool
	}{
		{"a new store", nil, other, 0, false},
		{"as it was left", m, id, 7, false},
		{"it ended after its start was counted", m, id, 8, false},
		{"a store without a mark", nil, id, 7, true},
		{"another store", m, other, 7, true},
		{"an empty database where one was", m, other, 0, true},
		{"an older database", m, id, 6, true},
	} {
		if err := Match(dir, row.mark, row.id, row.starts); errors.Is(err, Copied) != row.copied || err != nil && !row.copied {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestNewerMarkFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir, _ := signed(t, 1)
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(`{"format":2,"store":"sto_x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Look(dir); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("it is %v", err)
	}
}
