package pebble_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// small returns options with which logs and tables change often.
func small(fs vfs.FS) pebble.Options {
	return pebble.Options{FS: fs, Reserve: -1, Memtable: 256 << 10, Cache: 1 << 20}
}

func open(t testing.TB, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("work", small(fs))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConforms(t *testing.T) {
	t.Parallel()
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) store.KV {
			db, err := pebble.Open("work", pebble.Options{FS: vfs.NewMem(), Reserve: -1, Memtable: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			return db
		})
	})
	t.Run("on disk", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) store.KV {
			db, err := pebble.Open(t.TempDir(), pebble.Options{Reserve: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			return db
		})
	})
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if c := flawless.CodeOf(err); c != "" {
		return string(c)
	}
	return err.Error()
}
