package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

// TestStoreCheckWithoutServer checks a working directory before and after one of its tables is damaged.
func TestStoreCheckWithoutServer(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	command := func(want int, args ...string) (out, errs string) {
		t.Helper()
		var o, e bytes.Buffer
		args = append([]string{"--working-dir", work, "--socket", "127.0.0.1:1", "--tcp", "store", "check"}, args...)
		if code := run(t.Context(), args, strings.NewReader(""), &o, &e); code != want {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, want, &o, &e)
		}
		return o.String(), e.String()
	}
	if _, errs := command(3); !strings.Contains(errs, "there is no store in the working directory "+work) {
		t.Errorf("without a store: %s", errs)
	}
	dir := filepath.Join(work, "store")
	db, err := pebble.Open(dir, pebble.Options{Reserve: -1, Cache: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	l, err := st.Claim(t.Context(), "test")
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 100 {
		noise := make([]byte, 2000)
		for i := range noise {
			noise[i] = byte(rnd.Uint32())
		}
		h := store.Head{Run: flawless.Run{ID: fmt.Sprintf("order-%d", n), Module: "m", Status: flawless.Waiting, Created: time.Unix(int64(n), 0)}}
		err = errors.Join(err, st.Write(t.Context(), l, store.Write{ID: h.Run.ID, New: true, After: &h, Entries: []flawless.Entry{{At: 1, Start: &flawless.Start{Input: noise}}}}))
	}
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	if out, _ := command(0); !strings.Contains(out, "no damage found") { // this also moves everything to a table
		t.Errorf("an intact store: %s", out)
	}
	table := largest(t, filepath.Join(dir, "data", "*.sst"))
	b, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(table, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs := command(13)
	for _, want := range []string{"damaged: " + filepath.Base(table), "KIND", "run", "order-", "log", "unreadable", "restore the working directory from a backup"} {
		if !strings.Contains(out, want) {
			t.Errorf("a damaged store: %q is missing in\n%s", want, out)
		}
	}
	if !strings.Contains(errs, "1 files of the store are damaged") || !strings.Contains(errs, "hint: restore") {
		t.Errorf("a damaged store: %s", errs)
	}
	out, _ = command(13, "--json")
	var c flawless.StoreCheck
	if err := json.Unmarshal([]byte(out), &c); err != nil || len(c.Damaged) != 1 || len(c.Affected) == 0 || c.Ended == nil {
		t.Errorf("as JSON: %v: %s", err, out)
	}
}

// largest returns the largest file that matches a pattern.
func largest(t *testing.T, pattern string) (path string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(-1)
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			path, size = name, info.Size()
		}
	}
	return path
}
