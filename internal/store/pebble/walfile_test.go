package pebble

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless/internal/store"
)

// TestALogFileHoldsWhatWasWritten writes and syncs pieces of many sizes, over what the file held
// before, and looks after each sync.
func TestALogFileHoldsWhatWasWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files vfs.FS
		dir   string
	}{
		{"on disk", vfs.Default, t.TempDir()},
		{"in memory", vfs.NewMem(), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := c.files.PathJoin(c.dir, "1.log")
			f, err := c.files.Create(name, vfs.WriteCategoryUnspecified)
			must(t, err)
			w := newWALFile(f, 64<<10)
			var want []byte
			for i, size := range []int{1, 20, block - 21, 1, block, 3*block - 1, 5, 100 << 10, 7, gathered, gathered + 1, 3 * gathered, 12} {
				piece := bytes.Repeat([]byte{byte(i + 1)}, size)
				for _, part := range [][]byte{piece[:size/3], piece[size/3:]} {
					must(t, w.write(part))
				}
				want = append(want, piece...)
				must(t, w.sync())
				if got := content(t, c.files, name); !bytes.HasPrefix(got, want) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
					t.Fatalf("after piece %d the file is not what was written and zeros", i)
				}
			}
			must(t, w.close())

			// Used again it is overwritten from its start, and no byte of old comes after the new.
			f, err = c.files.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
			must(t, err)
			w = newWALFile(f, 64<<10)
			must(t, w.write([]byte("new")))
			must(t, w.sync())
			must(t, w.close())
			got := content(t, c.files, name)
			if first := append([]byte("new"), make([]byte, block-3)...); !bytes.HasPrefix(got, first) || !bytes.Equal(got[block:len(want)], want[block:]) {
				t.Error("the first block of the file used again is not the new bytes and zeros, or others changed")
			}
		})
	}
}

func content(t *testing.T, files vfs.FS, name string) []byte {
	t.Helper()
	fi, err := files.Stat(name)
	must(t, err)
	f, err := files.Open(name)
	must(t, err)
	defer f.Close()
	text := make([]byte, fi.Size())
	if len(text) > 0 {
		_, err = f.ReadAt(text, 0)
		must(t, err)
	}
	return text
}

// TestBlocksThatCannotBypassTheCache writes memory that is not aligned, as a stricter disk sees ours.
func TestBlocksThatCannotBypassTheCache(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	f, err := vfs.Default.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	defer f.Close()
	b := newBlocks(f)
	memory := aligned(4 * block)
	for i := range memory {
		memory[i] = byte(i / 3)
	}
	must(t, b.put(memory[:block], 0))
	must(t, b.put(memory[block+1:2*block+1], block))
	must(t, b.put(memory[2*block:3*block], 2*block))
	got, err := os.ReadFile(name)
	must(t, err)
	if want := bytes.Join([][]byte{memory[:block], memory[block+1 : 2*block+1], memory[2*block : 3*block]}, nil); !bytes.Equal(got, want) {
		t.Error("the file does not hold what was written")
	}
}

// TestTheLogIsReadAgain opens a database on disk again whose log holds batches of many sizes, and
// was used before.
func TestTheLogIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := Options{Reserve: -1, Memtable: 256 << 10, Cache: 1 << 20}
	const rounds, keys = 4, 60
	for round := range rounds {
		db, err := Open(dir, o)
		must(t, err)
		if round > 0 {
			for i := range keys {
				got, err := db.Get(t.Context(), fmt.Appendf(nil, "%d", i))
				if want := valueOf(round-1, i); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("round %d, key %d: %d bytes, %v; want %d", round, i, len(got), err, len(want))
				}
			}
		}
		for i := range keys {
			must(t, db.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: fmt.Appendf(nil, "%d", i), Value: valueOf(round, i)}}}))
		}
		must(t, db.Close())
	}
}

func valueOf(round, i int) []byte {
	return bytes.Repeat([]byte{byte(round), byte(i)}, (i*i*17+round*1000)%30000)
}
