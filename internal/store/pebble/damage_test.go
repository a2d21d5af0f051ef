package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

// directory is the content of all files of a file system, by path.
type directory map[string]string

// readDirectory reads all files below a path.
func readDirectory(t *testing.T, fs vfs.FS, path string, into directory) directory {
	t.Helper()
	names, err := fs.List(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name = fs.PathJoin(path, name)
		fi, err := fs.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if fi.IsDir() {
			readDirectory(t, fs, name, into)
			continue
		}
		f, err := fs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		into[name] = string(text)
	}
	return into
}

// write creates a file system with the files.
func (d directory) write(t *testing.T) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	for name, text := range d {
		if err := fs.MkdirAll(fs.PathDir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// damaged yields copies of a directory, each with one file removed, truncated or with a flipped bit.
func (d directory) damaged(yield func(what, file string, d directory)) {
	for file, text := range d {
		c := maps.Clone(d)
		delete(c, file)
		yield("removed", file, c)
		step := min(max(len(text)/40, 1), 2000) // at least once in each record
		if path.Base(file) == "synced" {
			step = 7
		}
		for at := 0; at < len(text); at += step {
			if text[at] == 0 && step == 7 {
				continue // padding of a page
			}
			c := maps.Clone(d)
			c[file] = text[:at]
			yield(fmt.Sprintf("cut to %d of %d bytes", at, len(text)), file, c)
			b := []byte(text)
			b[at] ^= 1 << (at % 8)
			c = maps.Clone(d)
			c[file] = string(b)
			yield(fmt.Sprintf("bit flipped in byte %d of %d", at, len(text)), file, c)
		}
	}
}

// contents reads a whole database.
func contents(t *testing.T, db *pebble.DB) (map[string]string, error) {
	all := map[string]string{}
	for it, err := range db.Scan(t.Context(), store.Range{}) {
		if err != nil {
			return nil, err
		}
		all[string(it.Key)] = string(it.Value)
	}
	return all, nil
}

// TestDamageNeverLosesDataSilently: whatever is removed, truncated or changed, the database is complete, or reports
// which file is damaged.
func TestDamageNeverLosesDataSilently(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		stop func(t *testing.T, fs *vfs.MemFS, db *pebble.DB) vfs.FS
	}{
		{"after an orderly stop", func(t *testing.T, fs *vfs.MemFS, db *pebble.DB) vfs.FS {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return fs
		}},
		{"after a kill", func(t *testing.T, fs *vfs.MemFS, db *pebble.DB) vfs.FS {
			return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewCrashableMem()
			want := map[string]string{}
			db := open(t, fs)
			write := func(n int) {
				for i := range n {
					key, value := fmt.Sprintf("%04d", len(want)), strings.Repeat(fmt.Sprint(i), 3000)
					if err := db.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: []byte(key), Value: []byte(value)}}}); err != nil {
						t.Fatal(err)
					}
					want[key] = value
				}
			}
			write(30)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(t, fs)
			defer func() { db.Close() }()
			write(100)
			whole := readDirectory(t, c.stop(t, fs, db), "work", directory{})
			n := 0
			whole.damaged(func(what, file string, d directory) {
				n++
				err := func() error {
					db, err := pebble.Open("work", small(d.write(t)))
					if err != nil {
						return err
					}
					defer db.Close()
					got, err := contents(t, db)
					if err != nil && !strings.HasSuffix(file, ".sst") {
						t.Errorf("%s %s: it opens, but reading returns %v", file, what, err)
					}
					if err == nil && !maps.Equal(got, want) {
						t.Errorf("%s %s: it opens with %d keys, want %d", file, what, len(got), len(want))
					}
					return err
				}()
				if err != nil && (!errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), nameOf(file)) || !strings.Contains(err.Error(), "backup")) {
					t.Errorf("%s %s: %v", file, what, err)
				}
			})
			if n < 500 {
				t.Errorf("only %d kinds of damage were tried", n)
			}
		})
	}
}

// nameOf returns the name of a file that an error must contain: for a table the number, for a missing marker its kind.
func nameOf(file string) string {
	name := path.Base(file)
	if kind, _, _ := strings.Cut(strings.TrimPrefix(name, "marker."), "."); strings.HasPrefix(name, "marker.") {
		return "marker." + kind
	}
	return strings.TrimSuffix(name, ".sst")
}

// TestStoreWithDamagedTables flips bits in the table of a store. Lists must be complete or return an error, and a module
// can be added again.
func TestStoreWithDamagedTables(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	fs := vfs.NewMem()
	open := func(fs vfs.FS) (*store.Store, *store.Lease, error) {
		db, err := pebble.Open("work", pebble.Options{FS: fs, Reserve: -1})
		if err != nil {
			return nil, nil, err
		}
		s, err := store.Open(ctx, db)
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		l, err := s.Claim(ctx, "test")
		if err != nil {
			return nil, nil, errors.Join(err, s.Close())
		}
		return s, l, nil
	}
	opened := func(fs vfs.FS) (*store.Store, *store.Lease) {
		s, l, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		return s, l
	}
	const runs = 600
	bin := make([]byte, 200<<10)
	for i := range bin {
		bin[i] = byte(i * i >> 7)
	}
	m := flawless.Module{Name: "m", Digest: "d", Manifest: flawless.Manifest{Workflows: []flawless.Workflow{{Name: "w"}}}}
	s, l := opened(fs)
	if _, _, err := s.AddModule(ctx, l, m, bin); err != nil {
		t.Fatal(err)
	}
	for n := range runs {
		h := store.Head{Run: flawless.Run{ID: fmt.Sprintf("run-%04d", n), Module: "m", Workflow: "w", Status: flawless.Waiting, Created: time.Unix(int64(n), 0)}}
		if err := s.Write(ctx, l, store.Write{ID: h.Run.ID, New: true, After: &h}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // the next start flushes everything to a table
		t.Fatal(err)
	}
	s, _ = opened(fs)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := readDirectory(t, fs, "work", directory{})
	var table string
	for name, text := range whole {
		if strings.HasSuffix(name, ".sst") && len(text) > len(whole[table]) {
			table = name
		}
	}

	var lists, modules, refused int
	for at := 0; at < len(whole[table]); at += len(whole[table])/24 + 1 {
		damaged := maps.Clone(whole)
		b := []byte(whole[table])
		b[at] ^= 4
		damaged[table] = string(b)
		s, l, err := open(damaged.write(t))
		if err != nil {
			if refused++; !errors.Is(err, flawless.Damaged) {
				t.Errorf("byte %d: opening: %v", at, err)
			}
			continue
		}
		n, cursor := 0, ""
		var listing error
		for {
			page, next, err := s.Runs(ctx, flawless.Filter{Limit: 1000, Cursor: cursor})
			n += len(page)
			if listing = err; err != nil || next == "" {
				break
			}
			cursor = next
		}
		switch {
		case listing == nil && n != runs:
			t.Errorf("byte %d: %d runs are listed, want %d", at, n, runs)
		case listing != nil && !errors.Is(listing, flawless.Damaged):
			t.Errorf("byte %d: listing: %v", at, listing)
		case listing != nil:
			refused++
		case s.Damage() != "":
			lists++
		}
		if _, err := s.Binary(ctx, "d"); err != nil {
			modules++
			if _, added, err := s.AddModule(ctx, l, m, bin); added || err != nil {
				t.Errorf("byte %d: adding the module again: new %v, %v", at, added, err)
			}
			if got, err := s.Binary(ctx, "d"); err != nil || !bytes.Equal(got, bin) {
				t.Errorf("byte %d: the module after it was added again: %d bytes, %v", at, len(got), err)
			}
			if s.Damage() == "" {
				t.Errorf("byte %d: the damage is not reported", at)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("byte %d: closing: %v", at, err)
		}
	}
	if lists == 0 || modules == 0 || refused > 16 {
		t.Errorf("damage affected lists %d times, the module %d times, heads %d times, which is too rare", lists, modules, refused)
	}
}
