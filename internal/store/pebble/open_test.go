package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

func TestTwoServersOnOneDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "work")
	o := pebble.Options{Reserve: 1 << 20, Memtable: 1 << 20}
	first, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = pebble.Open(dir, o)
	host, _ := os.Hostname()
	for _, want := range []string{"is in use by another server", fmt.Sprintf("process %d on host %s, since 20", os.Getpid(), host), "stop it or use another --working-dir"} {
		if !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("second server: %v, want %q", err, want)
		}
	}
	// On a shared file system, the lock may belong to another host.
	text := `{"host":"elsewhere","pid":7,"since":"2026-03-01T00:00:00Z"}`
	if err := os.WriteFile(filepath.Join(dir, "owner"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = pebble.Open(dir, o); err == nil || !strings.Contains(err.Error(), "process 7 on another host, elsewhere, since 2026-03-01T00:00:00Z") {
		t.Errorf("with a server on another host: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDirectoryStaysLockedWithoutLockFile, which clean-up scripts may remove.
func TestDirectoryStaysLockedWithoutLockFile(t *testing.T) {
	t.Parallel()
	switch runtime.GOOS {
	case "darwin", "dragonfly", "freebsd", "linux", "netbsd", "openbsd":
	default:
		t.Skip("this system locks no directories")
	}
	dir := t.TempDir()
	o := pebble.Options{Reserve: -1}
	first, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "data", "LOCK")); err != nil {
		t.Fatal(err)
	}
	// Use another path, because Pebble remembers the paths that this process has open.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	second, err := pebble.Open(link, o)
	if err == nil {
		_ = second.Close()
	}
	if !errors.Is(err, flawless.Conflict) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("is in use by another server (process %d on host", os.Getpid())) {
		t.Errorf("a second server after the file LOCK of the first was removed: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := pebble.Open(link, o)
	if err != nil {
		t.Fatalf("after the first server was closed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestInvalidDirectoryIsRejected(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open(file, pebble.Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file instead of the directory: %v", err)
	}
	if _, err := pebble.Open("/proc/none/work", pebble.Options{}); err == nil {
		t.Error("a directory that cannot be made is accepted")
	}
}

func TestDamagedDatabaseIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, files string
		read        func(db *pebble.DB) error // nil if it must not open
	}{
		{"log", "data/*.log", nil},
		{"tables", "data/*.sst", func(db *pebble.DB) error {
			for _, err := range db.Scan(t.Context(), store.Range{}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := pebble.Options{Reserve: -1, Memtable: 256 << 10}
			fillDirectory(t, dir, o)
			damage(t, filepath.Join(dir, c.files))
			db, err := pebble.Open(dir, o)
			if c.read != nil {
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				err = c.read(db)
			}
			if !errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "backup") {
				t.Errorf("the damage is reported as %v", err)
			}
		})
	}
}

// fillDirectory writes enough for a few tables and logs.
func fillDirectory(t *testing.T, dir string, o pebble.Options) {
	t.Helper()
	db, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		var b store.Batch
		for k := range 50 {
			b.Set = append(b.Set, store.Item{Key: fmt.Appendf(nil, "%04d/%04d", k, i), Value: make([]byte, 100)})
		}
		if err := db.Apply(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// damage changes a byte near the start of files.
func damage(t *testing.T, pattern string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text[100] ^= 0xff
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOtherFormatIsRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files directory
		code  flawless.Code
		says  []string
	}{
		{"a log and a database of format 1", directory{"work/log/1.log": "x", "work/db/MANIFEST-000001": "x", "work/pid": "1"},
			flawless.Conflict, []string{"store format 1", "knows format 2", "--working-dir", "export"}},
		{"a database of format 1", directory{"work/db/marker.manifest.000001.MANIFEST-000001": ""},
			flawless.Conflict, []string{"store format 1", "knows format 2"}},
		{"a format to come", directory{"work/synced": "flawless store 3\nsomething else", "work/data/x": "x"},
			flawless.Conflict, []string{"store format 3", "knows format 2", "use a newer version"}},
		{"a format of the database to come", directory{"work/synced": "x", "work/data/marker.format-version.000099.099": ""},
			flawless.Conflict, []string{"database has format 99", "use a newer version"}},
		{"no format", directory{"work/synced": "x", "work/data/x": "x"}, flawless.Damaged, []string{"work/synced", "backup"}},
		{"files without their account", directory{"work/data/000002.log": "x"}, flawless.Damaged, []string{"work/synced", "000002.log", "backup"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := c.files.write(t)
			_, err := pebble.Open("work", small(fs))
			if !errors.Is(err, c.code) {
				t.Errorf("got %v, want %s", err, c.code)
			}
			for _, part := range c.says {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not contain %q", err, part)
				}
			}
			if after := readDirectory(t, fs, "work", directory{}); c.code == flawless.Conflict && !maps.Equal(after, c.files) {
				t.Errorf("the directory was changed: %v", after)
			}
		})
	}
}

// TestOlderVersionsRefuseDirectory, because they look for Pebble in db/.
func TestOlderVersionsRefuseDirectory(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	if err := open(t, fs).Close(); err != nil {
		t.Fatal(err)
	}
	before := readDirectory(t, fs, "work", directory{})
	if _, err := cockroach.Open("work/db", &cockroach.Options{FS: fs}); err == nil || !strings.Contains(err.Error(), "a newer version of flawless wrote this directory") {
		t.Errorf("a version before format 2: %v", err)
	}
	after := readDirectory(t, fs, "work", directory{})
	delete(after, "work/db/LOCK")
	if !maps.Equal(before, after) {
		t.Errorf("the directory was changed: %v", after)
	}
	if err := open(t, fs).Close(); err != nil {
		t.Error(err)
	}
}

// TestDamagedLedgerPageIsLogged: the database opens with the other page, and warns the operator that the
// disk has changed data.
func TestDamagedLedgerPageIsLogged(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	for range 2 {
		if err := open(t, fs).Close(); err != nil {
			t.Fatal(err)
		}
	}
	files := readDirectory(t, fs, "work", directory{})
	text := []byte(files["work/synced"])
	older := 0
	if bytes.Contains(text[:8<<10], fmt.Appendf(nil, "page %d\n", newestPage(text))) {
		older = 8 << 10
	}
	for _, c := range []struct {
		name string
		at   int
		want bool
	}{{"both pages are right", -1, false}, {"the older page is damaged", older + 200, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, changed := maps.Clone(files), bytes.Clone(text)
			if c.at >= 0 {
				changed[c.at] ^= 1
			}
			d["work/synced"] = string(changed)
			var said bytes.Buffer
			o := small(d.write(t))
			o.Log = slog.New(slog.NewTextHandler(&said, nil))
			db, err := pebble.Open("work", o)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			if got := strings.Contains(said.String(), "one page of the ledger is damaged"); got != c.want {
				t.Errorf("a warning: %v, want %v: %s", got, c.want, &said)
			}
		})
	}
}

// newestPage returns the highest page number in a ledger.
func newestPage(text []byte) (newest int) {
	for line := range strings.Lines(string(text)) {
		var n int
		if _, err := fmt.Sscanf(line, "page %d\n", &n); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}
