package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

// tryStore opens a store and claims its lease.
func tryStore(ctx context.Context, fs vfs.FS) (*store.Store, *store.Lease, error) {
	db, err := pebble.Open("work", pebble.Options{FS: fs, Reserve: -1, Cache: 1 << 20})
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

const checkedRuns = 60

// filled returns the files of a store with runs, a module, a schedule and settings, all in tables.
func filled(t *testing.T) directory {
	t.Helper()
	ctx, fs := t.Context(), vfs.NewMem()
	s, l, err := tryStore(ctx, fs)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	noise := func(n int) []byte { // incompressible
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	for _, digest := range []string{"d", "e"} { // the first one shares a block with data that every start reads
		m := flawless.Module{Name: "m", Digest: digest, Manifest: flawless.Manifest{Workflows: []flawless.Workflow{{Name: "w"}}}}
		if _, _, err := s.AddModule(ctx, l, m, noise(8<<10)); err != nil { // small, because Pebble searches damaged blocks for flipped bits
			t.Fatal(err)
		}
	}
	for n := range checkedRuns {
		h := store.Head{Run: flawless.Run{ID: fmt.Sprintf("run-%04d", n), Module: "m", Workflow: "w", Status: flawless.Waiting, Created: time.Unix(int64(n), 0),
			Failure: &flawless.Failure{Message: string(noise(600))}}}
		w := store.Write{ID: h.Run.ID, New: true, After: &h, Data: noise(300)}
		for range 2 {
			w.Entries = []flawless.Entry{{At: 1, Start: &flawless.Start{Input: noise(600)}}}
			err = errors.Join(err, s.Write(ctx, l, w))
			w.New, w.Before, w.Seq, w.Data = false, w.After, w.Seq+1, nil
		}
	}
	err = errors.Join(err, s.PutSchedule(ctx, l, "nightly", nil, &flawless.Schedule{Name: "nightly"}), s.PutSettings(ctx, l, nil, flawless.Settings{Module: "m"}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err = tryStore(ctx, fs); err != nil { // flushes everything to a table
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return readDirectory(t, fs, "work", directory{})
}

// largestTable returns the path of the largest table.
func (d directory) largestTable() (table string) {
	for name, text := range d {
		if strings.HasSuffix(name, ".sst") && len(text) > len(d[table]) {
			table = name
		}
	}
	return table
}

// unreadableThings returns what cannot be read in a filled store, under the names that a check uses.
func unreadableThings(ctx context.Context, s *store.Store) map[string]error {
	all := map[string]error{}
	for n := range checkedRuns {
		id := fmt.Sprintf("run-%04d", n)
		_, all["run "+id+" head"] = s.Head(ctx, id)
		_, all["run "+id+" data"] = s.Data(ctx, id)
		for _, err := range s.Log(ctx, id, 0) {
			all["run "+id+" log"] = err
		}
	}
	_, all["module m version 1 bytes"] = s.Binary(ctx, "d")
	_, all["module m version 2 bytes"] = s.Binary(ctx, "e")
	_, all["schedules"] = s.Schedules(ctx, store.AllShards())
	_, all["settings of modules"] = s.Settings(ctx)
	maps.DeleteFunc(all, func(_ string, err error) bool { return err == nil })
	return all
}

// TestCheckFindsDamage flips one bit at a time. The check must find the file, and list everything that cannot be read.
// The result must be available after a restart.
func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	whole := filled(t)
	table := whole.largestTable()
	kinds := map[string]int{}
	for at := 0; at < len(whole[table]); at += len(whole[table])/11 + 1 {
		damaged := maps.Clone(whole)
		b := []byte(whole[table])
		b[at] ^= 4
		damaged[table] = string(b)
		fs := damaged.write(t)
		s, l, err := tryStore(ctx, fs)
		if err != nil {
			if !errors.Is(err, flawless.Damaged) {
				t.Errorf("byte %d: opening: %v", at, err)
			}
			continue
		}
		c, err := s.Check(ctx, store.CheckFiles{})
		if err != nil || len(c.Damaged) != 1 || !strings.HasSuffix(table, "/"+c.Damaged[0].File) || c.Read != c.Total || c.Ended == nil {
			t.Errorf("byte %d: the check found %+v, %v", at, c, err)
		}
		named := map[string]bool{}
		for _, x := range c.Affected {
			named[strings.TrimSpace(x.Kind+" "+strings.TrimSpace(x.Name+" "+x.Part))] = true
			if !x.Readable {
				kinds[x.Kind+" "+x.Part]++
			}
			if x.Todo == "" {
				t.Errorf("byte %d: %+v does not say what to do", at, x)
			}
		}
		bad := unreadableThings(ctx, s)
		for what, err := range bad {
			if !named[what] {
				t.Errorf("byte %d: %s cannot be read (%v), but the check does not list it: %v", at, what, err, c.Affected)
			}
		}
		if len(c.Affected) > len(bad)+8 {
			t.Errorf("byte %d: %d things cannot be read, but the check lists %v", at, len(bad), c.Affected)
		}
		if err := errors.Join(s.PutCheck(ctx, l, c), s.Close()); err != nil {
			t.Fatal(err)
		}
		if s, _, err = tryStore(ctx, fs); err != nil {
			t.Fatal(err)
		}
		if last, err := s.LastCheck(ctx); err != nil || len(last.Damaged) != 1 || len(last.Affected) != len(c.Affected) {
			t.Errorf("byte %d: after a restart the last check is %+v, %v", at, last, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"run head", "run log", "run data", "module bytes"} {
		if kinds[kind] == 0 {
			t.Errorf("no damage affected a %s, so the test is incomplete (%v)", kind, kinds)
		}
	}
}

// TestCheckReadsTheDisk, not Pebble's cache.
func TestCheckReadsTheDisk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	whole := filled(t)
	table := whole.largestTable()
	fs := whole.write(t)
	s, _, err := tryStore(ctx, fs)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if bad := unreadableThings(ctx, s); len(bad) != 0 {
		t.Fatalf("an intact store cannot be read: %v", bad)
	}
	if c, err := s.Check(ctx, store.CheckFiles{}); err != nil || len(c.Damaged)+len(c.Affected) != 0 || c.Read != c.Total || c.Total == 0 {
		t.Errorf("the check of an intact store: %+v, %v", c, err)
	}
	f, err := fs.OpenReadWrite(table, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), int64(len(whole[table])/2)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := s.Check(ctx, store.CheckFiles{})
	if err != nil || len(c.Damaged) != 1 || len(c.Affected) == 0 {
		t.Errorf("the check of a table that was damaged after it was read: %+v, %v", c, err)
	}
}

// TestCheckIsPaced, and ends with its context.
func TestCheckIsPaced(t *testing.T) {
	t.Parallel()
	whole := filled(t)
	synctest.Test(t, func(t *testing.T) {
		s, _, err := tryStore(t.Context(), whole.write(t))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		const rate = 10 << 10
		slow := func() int64 { return rate }
		began, told := time.Now(), int64(0)
		c, err := s.Check(t.Context(), store.CheckFiles{Rate: slow, Progress: func(read, total int64) {
			if read < told || read > total {
				t.Errorf("%d of %d bytes are reported after %d", read, total, told)
			}
			told = read
		}})
		least := time.Duration(c.Total*9/10/rate) * time.Second
		if took := time.Since(began); err != nil || told != c.Total || took < least || took > 2*least {
			t.Errorf("%d bytes took %v: %+v, %v", c.Total, took, c, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if c, err := s.Check(ctx, store.CheckFiles{Rate: slow}); !errors.Is(err, context.DeadlineExceeded) || c.Error == "" || len(c.Damaged) != 0 || time.Since(began) > 3*least {
			t.Errorf("a cancelled check: %+v, %v", c, err)
		}
	})
}

// TestDamageInLargeValueIsFoundQuickly flips a bit of a value of some megabytes. Reading it and checking the store must say so
// within seconds: the database would look for the bit for minutes.
func TestDamageInLargeValueIsFoundQuickly(t *testing.T) {
	t.Parallel()
	ctx, fs := t.Context(), vfs.NewMem()
	s, l, err := tryStore(ctx, fs)
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 4<<20)
	rnd := rand.New(rand.NewPCG(2, 2))
	for i := range large {
		large[i] = byte(rnd.Uint32())
	}
	ids := []string{"a", "b", "c", "d"} // the first one shares a block with data that every start reads
	for _, id := range ids {
		h := store.Head{Run: flawless.Run{ID: id, Module: "m", Workflow: "w", Status: flawless.Waiting, Created: time.Unix(1, 0)}}
		start := flawless.Entry{At: 1, Start: &flawless.Start{Input: large}}
		err = errors.Join(err, s.Write(ctx, l, store.Write{ID: id, New: true, After: &h, Entries: []flawless.Entry{start}}))
	}
	err = errors.Join(err, s.Close())
	if err != nil {
		t.Fatal(err)
	}
	if s, _, err = tryStore(ctx, fs); err == nil { // flushes everything to a table
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	files := readDirectory(t, fs, "work", directory{})
	table := files.largestTable()
	text := []byte(files[table])
	text[len(text)/2] ^= 1
	files[table] = string(text)
	db, err := pebble.Open("work", pebble.Options{FS: files.write(t), Reserve: -1, Cache: 1 << 20})
	if err == nil {
		s, err = store.Open(ctx, db)
	}
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan error, 2)
	go func() {
		var all error
		for _, id := range ids {
			for _, err := range s.Log(ctx, id, 0) {
				all = errors.Join(all, err)
			}
		}
		found <- all
		checked, err := s.Check(ctx, store.CheckFiles{})
		if err == nil && len(checked.Damaged) == 1 {
			err = flawless.Damaged
		}
		found <- err
	}()
	for _, what := range []string{"reading", "checking"} {
		select {
		case err := <-found:
			if !errors.Is(err, flawless.Damaged) {
				t.Errorf("%s: %v, want %s", what, err, flawless.Damaged)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s takes more than 10 s", what)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
