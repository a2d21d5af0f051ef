package pebble_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	if want := fmt.Sprintf("is in use by another server (pid %d): stop it or use another --working-dir", os.Getpid()); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), want) {
		t.Errorf("second server: %v", err)
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

func TestADirectoryThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open(file, pebble.Options{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file in the place of the directory: %v", err)
	}
	if _, err := pebble.Open("/proc/none/work", pebble.Options{}); err == nil {
		t.Error("a directory that cannot be made is accepted")
	}
}

func TestADamagedDatabaseIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, files string
		read        func(db *pebble.DB) error // nil: it must not open
	}{
		{"log", "log/*.log", nil},
		{"tables", "db/*.sst", func(db *pebble.DB) error {
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
				t.Errorf("damage is told as %v", err)
			}
		})
	}
}

// fillDirectory writes as much as makes a few tables and logs.
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

// damage changes a byte near the beginning of files.
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

// TestASpareLogShowsNothingOfTheLast opens a database again and again, also as it was when the power went off.
// Each of its logs lies over one of an earlier process, and is sometimes shorter and sometimes longer.
func TestASpareLogShowsNothingOfTheLast(t *testing.T) {
	t.Parallel()
	files := vfs.NewCrashableMem()
	want := map[string]string{}
	spared := 0
	for round := range 18 {
		if _, err := files.Stat("work/log/2.log"); err == nil {
			spared++
		}
		db := open(t, files)
		got := map[string]string{}
		for it, err := range db.Scan(t.Context(), store.Range{}) {
			if err != nil {
				t.Fatal(err)
			}
			got[string(it.Key)] = string(it.Value)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("round %d: it holds %d keys that are not the %d that were written", round, len(got), len(want))
		}
		for n := range []int{40, 3, 90, 0, 1}[round%5] {
			key, gone := fmt.Sprint("k", n), fmt.Sprint("k", (n*7+round)%90)
			value := fmt.Sprint(round, strings.Repeat("x", 10*n))
			b := store.Batch{Set: []store.Item{{Key: []byte(key), Value: []byte(value)}}}
			if gone != key {
				b.Delete = [][]byte{[]byte(gone)}
				delete(want, gone)
			}
			if err := db.Apply(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			want[key] = value
		}
		next := files
		if round%6 == 5 { // the power goes off
			next = files.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, uint64(round)))})
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		files = next
	}
	if spared < 4 {
		t.Errorf("a spare was there %d times: this shows nothing", spared)
	}
}
