package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// putMany writes keys 0 to n, one after another.
func putMany(t *testing.T, db *DB, n int, value string) {
	t.Helper()
	for i := range n {
		must(t, db.Apply(t.Context(), put(fmt.Sprint("k", i), value)))
	}
}

// has checks that keys 0 to n have a value.
func has(t *testing.T, db *DB, n int, value string) {
	t.Helper()
	for i := range n {
		if got, err := db.Get(t.Context(), fmt.Append(nil, "k", i)); err != nil || string(got) != value {
			t.Fatalf("key %d of %d: %d bytes, %v", i, n, len(got), err)
		}
	}
}

// logs returns the names of the files of the log.
func logs(t *testing.T, fs vfs.FS) (names []string) {
	t.Helper()
	all, err := fs.List("work/log")
	must(t, err)
	for _, name := range all {
		names = append(names, "work/log/"+name)
	}
	return names
}

// newestLog returns the name of the file that was begun last, and how many bytes of it are no zeros.
func newestLog(t *testing.T, fs vfs.FS) (name string, end int) {
	t.Helper()
	var most uint64
	for _, one := range logs(t, fs) {
		text := content(t, fs, one)
		if n := binary.LittleEndian.Uint64(text[8:]); n > most {
			name, most, end = one, n, len(bytes.TrimRight(text, "\x00"))
		}
	}
	return name, end
}

// alter changes bytes of a file.
func alter(t *testing.T, fs vfs.FS, name string, at int, b []byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(b, int64(at))
	must(t, err)
}

// TestSlotsAreUsedAgain writes far more than a slot holds, with batches below and above the size of one.
func TestSlotsAreUsedAgain(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	value := strings.Repeat("v", 2000)
	for range 5 {
		putMany(t, db, 1000, value)
		must(t, db.Apply(t.Context(), put("large", strings.Repeat("x", 700<<10))))
	}
	if n := len(logs(t, fs)); n < 2 || n > 8 {
		t.Errorf("there are %d files of the log after 13 MB in files of 280 KB", n)
	}
	has(t, db, 1000, value)
	again := openFaulty(t, fs.CrashClone(vfs.CrashCloneCfg{}), -1)
	has(t, again, 1000, value)
	if got, err := again.Get(t.Context(), []byte("large")); err != nil || len(got) != 700<<10 {
		t.Errorf("the large one: %d bytes, %v", len(got), err)
	}
}

// TestDamageOfTheLogIsTold: a record that was synced and cannot be read is damage, one that never was is not.
func TestDamageOfTheLogIsTold(t *testing.T) {
	t.Parallel()
	const n, size = 50, 200
	value := strings.Repeat("v", size)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, fs vfs.FS, log string, end int)
		keys   int // that are there after it; 0 is damage
	}{
		{"nothing", func(*testing.T, vfs.FS, string, int) {}, n},
		{"a byte in the middle", func(t *testing.T, fs vfs.FS, log string, end int) {
			alter(t, fs, log, block+(end-block)/2+size/2, []byte{0xff, 0x01})
		}, 0},
		{"a byte of the last record", func(t *testing.T, fs vfs.FS, log string, end int) {
			alter(t, fs, log, end-size/2, []byte{0xff, 0x01})
		}, n - 1},
		{"a write that came half", func(t *testing.T, fs vfs.FS, log string, end int) {
			var w wal // whose two records were synced together, and the first got lost
			w.newest, w.synced = n, n
			w.append(n+1, 1, make([]byte, 64))
			lost := len(w.fresh)
			w.append(n+2, 2, make([]byte, 64))
			clear(w.fresh[:lost])
			alter(t, fs, log, int(padded(int64(end))), w.fresh)
		}, n},
		{"the head", func(t *testing.T, fs vfs.FS, log string, end int) { alter(t, fs, log, 300, []byte{1}) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := newFaultFS()
			db, err := Open("work", faulty(fs, -1))
			must(t, err)
			putMany(t, db, n, value)
			must(t, db.Close())
			log, end := newestLog(t, fs)
			c.change(t, fs.MemFS, log, end)
			db, err = Open("work", faulty(fs, -1))
			if c.keys == 0 {
				if !errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "backup") {
					t.Errorf("damage is told as %v", err)
				}
				return
			}
			must(t, err)
			has(t, db, c.keys, value)
			must(t, db.Close())
		})
	}
}

// TestALogFileThatIsMissingIsTold has several files needed, as no table can be written.
func TestALogFileThatIsMissingIsTold(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db, err := Open("work", faulty(fs, -1))
	must(t, err)
	fs.setFiles(".sst", func() error { return syscall.ENOSPC })
	n, err := pour(t, db, 16)
	if err != nil && !errors.Is(err, flawless.Full) {
		t.Fatal(err)
	}
	must(t, db.Close())
	fs.setFiles("", nil)
	newest, _ := newestLog(t, fs)
	oldest, number := "", uint64(1<<60)
	for _, name := range logs(t, fs) {
		if k := binary.LittleEndian.Uint64(content(t, fs, name)[8:]); k > 0 && k < number {
			oldest, number = name, k
		}
	}
	if oldest == newest {
		t.Fatal("there is one file: this shows nothing")
	}
	without := fs.CrashClone(vfs.CrashCloneCfg{})
	must(t, without.Remove(oldest))
	if db, err := Open("work", faulty(without, -1)); !errors.Is(err, flawless.Damaged) || !strings.Contains(err.Error(), "not there") {
		t.Errorf("without one of its logs: %v, %v", db, err)
	}
	poured(t, openFaulty(t, fs, -1), n)
}

// TestALogOfPebbleIsRead opens a database that Pebble has written with a log of its own.
func TestALogOfPebbleIsRead(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	must(t, fs.MkdirAll("work/db", 0o700))
	kv, err := cockroach.Open("work/db", &cockroach.Options{FS: fs, FormatMajorVersion: cockroach.FormatTableFormatV6, Logger: logger{&DB{log: slog.New(slog.DiscardHandler)}}})
	must(t, err)
	must(t, kv.Set([]byte("k0"), []byte("old"), cockroach.Sync))
	must(t, kv.Close())
	for round := range 3 {
		db, err := Open("work", faulty(fs, -1))
		must(t, err)
		has(t, db, 1, []string{"old", "0", "1"}[round])
		putMany(t, db, 1, fmt.Sprint(round))
		must(t, db.Close())
	}
}

// TestWhatWasNeverSyncedComesWholeOrNotAtAll: the process is killed after a write and before its sync, and the
// power goes off while the next one begins.
func TestWhatWasNeverSyncedComesWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db, err := Open("work", faulty(fs, -1))
	must(t, err)
	must(t, db.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("1")}}}))
	killed := errors.New("killed")
	fs.set(func() error { return killed }, nil)
	if err := db.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: []byte("a"), Value: []byte("2")}, {Key: []byte("c"), Value: []byte("2")}}}); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	must(t, db.Close())
	var crashed atomic.Pointer[vfs.MemFS]
	fs.set(nil, func() error { // the head of the next file is about to be written
		crashed.CompareAndSwap(nil, fs.CrashClone(vfs.CrashCloneCfg{}))
		return nil
	})
	must(t, openFaulty(t, fs, -1).Close())
	again := openFaulty(t, crashed.Load(), -1)
	a, err := again.Get(t.Context(), []byte("a"))
	must(t, err)
	c, err := again.Get(t.Context(), []byte("c"))
	if whole := string(a) == "2" && string(c) == "2"; !whole && (string(a) != "1" || !errors.Is(err, flawless.NotFound)) {
		t.Errorf("half of a batch is there: a = %q, c = %q, %v", a, c, err)
	}
}

// TestWritersShareASync: those who come while one writes are served by the next one together.
func TestWritersShareASync(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	var syncs atomic.Int64
	syncing, release := make(chan struct{}), make(chan struct{})
	fs.set(func() error {
		if syncs.Add(1) == 1 {
			close(syncing)
			<-release
		}
		return nil
	}, nil)
	const writers = 32
	done := make(chan error, writers+1)
	go func() { done <- db.Apply(t.Context(), put("first", "1")) }()
	<-syncing
	for i := range writers {
		go func() { done <- db.Apply(t.Context(), put(fmt.Sprint("k", i), "v")) }()
	}
	for db.wal.waiting() < writers {
		runtime.Gosched()
	}
	close(release)
	for range writers + 1 {
		must(t, <-done)
	}
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d syncs for one write and %d that came meanwhile, want 2", n, writers)
	}
	has(t, db, writers, "v")
}

// TestASlotIsKeptWhileAnyOfItIsInNoTable has a table made of the first keys of a slot, and none of the others.
func TestASlotIsKeptWhileAnyOfItIsInNoTable(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	began := func() uint64 {
		db.wal.slots.mu.Lock()
		defer db.wal.slots.mu.Unlock()
		return db.wal.slots.current.number
	}
	release := make(chan struct{})
	fs.setFiles(".sst", func() error {
		for began() < 2 { // the first slot is full, and has more than the first table
			runtime.Gosched()
		}
		if db.kv.Metrics().Flush.Count > 0 {
			<-release
		}
		return nil
	})
	n := 0
	for ; began() < 4; n++ {
		must(t, db.Apply(t.Context(), put(fmt.Sprint("k", n), strings.Repeat("x", 20<<10))))
		for began() == 2 && db.kv.Metrics().Flush.Count == 0 {
			runtime.Gosched()
		}
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	close(release)
	has(t, openFaulty(t, crashed, -1), n, strings.Repeat("x", 20<<10))
}

// TestOnlyWhatNoHeadNamesIsRemoved: the head of the current slot says which others must be there.
func TestOnlyWhatNoHeadNamesIsRemoved(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := slots{fs: fs, base: fs, dir: "", size: block, broken: func() bool { return false }}
	for _, number := range []uint64{7, 9, 4, 8, 5, 6, 3} {
		one := &slot{name: fmt.Sprint(number, slotEnd), size: block, number: number, needed: number == 9}
		if number == 9 {
			one.oldest = 6
			s.current = one
		}
		f, err := fs.Create(one.name, vfs.WriteCategoryUnspecified)
		must(t, err)
		must(t, f.Close())
		s.all = append(s.all, one)
	}
	s.tidy()
	names, err := fs.List("")
	must(t, err)
	slices.Sort(names)
	if want := []string{"4.log", "6.log", "7.log", "8.log", "9.log"}; !slices.Equal(names, want) {
		t.Errorf("the files are %v, not %v", names, want)
	}
}

// TestARecordOfAnEarlierLifeIsNone: two records were written together and never synced, and the first got lost.
// The next life writes one as long as that in the same place, up to the end of a block.
func TestARecordOfAnEarlierLifeIsNone(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db, err := Open("work", faulty(fs, -1))
	must(t, err)
	log, _ := newestLog(t, fs)
	lost := db.kv.NewBatch()
	const size = block - recordHead - 18
	must(t, lost.Set([]byte("k0"), bytes.Repeat([]byte("l"), size), nil))
	if n := recordHead + lost.Len(); n != block {
		t.Fatalf("a record has %d bytes: this shows nothing", n)
	}
	var w wal
	w.newest = binary.LittleEndian.Uint64(content(t, fs.MemFS, log)[24:]) - 1
	w.synced = w.newest
	w.append(w.newest+1, 1, lost.Repr())
	first := len(w.fresh)
	w.append(w.newest+1, 2, lost.Repr())
	clear(w.fresh[:first])
	alter(t, fs.MemFS, log, block, w.fresh)
	must(t, lost.Close())
	must(t, db.Close())
	for range 3 { // one of them uses the same file
		db, err = Open("work", faulty(fs, -1))
		must(t, err)
		must(t, db.Apply(t.Context(), put("k0", strings.Repeat("k", size))))
		must(t, db.Close())
		again := openFaulty(t, fs.CrashClone(vfs.CrashCloneCfg{}), -1)
		has(t, again, 1, strings.Repeat("k", size))
	}
}

func TestALogOfTheFutureIsRefused(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db, err := Open("work", faulty(fs, -1))
	must(t, err)
	must(t, db.Close())
	log, _ := newestLog(t, fs)
	alter(t, fs.MemFS, log, 7, []byte{2})
	if db, err := Open("work", faulty(fs, -1)); !errors.Is(err, flawless.Conflict) || !strings.Contains(err.Error(), "use a newer one") {
		t.Errorf("a log of format 2: %v, %v", db, err)
	}
}

// counted counts how often a file is read.
type counted struct {
	vfs.File
	reads int
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	c.reads++
	return c.File.ReadAt(p, at)
}

// TestWhatLiesBehindIsLookedThroughOnce: bytes that may be anything are rarely taken for a record.
func TestWhatLiesBehindIsLookedThroughOnce(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	fs := vfs.NewMem()
	f, err := fs.Create("1.log", vfs.WriteCategoryUnspecified)
	must(t, err)
	var text []byte
	for n := uint64(0); len(text) < size; n++ {
		text = binary.LittleEndian.AppendUint64(text, n%3<<32|n%1000*n)
	}
	_, err = f.Write(text)
	must(t, err)
	c := counted{File: f}
	w := wal{newest: leap}
	must(t, w.nothingBehind(&c, block, size))
	if most := 2 * size / gathered; c.reads > most {
		t.Errorf("%d MiB were read in %d pieces, want at most %d", size>>20, c.reads, most)
	}
}
