package pebble

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// faultFS is an in-memory file system that can be full, and whose logs can fail or block.
type faultFS struct {
	*vfs.MemFS
	mu      sync.Mutex
	onSync  func() error            // of a log
	onWrite func() error            // of a log
	onFile  func(name string) error // before a file other than a log is written, or a marker created
	full    atomic.Bool
	free    atomic.Uint64
}

func newFaultFS() *faultFS {
	fs := &faultFS{MemFS: vfs.NewCrashableMem()}
	fs.free.Store(1 << 40)
	return fs
}

func (fs *faultFS) set(onSync, onWrite func() error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.onSync, fs.onWrite = onSync, onWrite
}

// setFiles makes files whose names contain part fail with the result of do; nil ends this.
func (fs *faultFS) setFiles(part string, do func() error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.onFile = nil
	if do != nil {
		fs.onFile = func(name string) error {
			if strings.Contains(name, part) {
				return do()
			}
			return nil
		}
	}
}

func (fs *faultFS) refused(name string) error {
	fs.mu.Lock()
	hook := fs.onFile
	fs.mu.Unlock()
	if hook == nil || isLog(name) {
		return nil
	}
	return hook(fs.PathBase(name))
}

func (fs *faultFS) hooks() (onSync, onWrite func() error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.onSync, fs.onWrite
}

func (fs *faultFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: fs.free.Load(), TotalBytes: 1 << 40}, nil
}

func (fs *faultFS) Remove(name string) error {
	if strings.HasSuffix(name, "reserve") {
		fs.full.Store(false) // its space is used for work in progress
	}
	return fs.MemFS.Remove(name)
}

func (fs *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if fs.full.Load() {
		return nil, syscall.ENOSPC
	}
	if strings.Contains(name, "marker") { // it has no content
		if err := fs.refused(name); err != nil {
			return nil, err
		}
	}
	return fs.wrap(fs.MemFS.Create(name, c))(name)
}

func (fs *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return fs.wrap(fs.MemFS.OpenReadWrite(name, c, o...))(name)
}

func (fs *faultFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.wrap(fs.MemFS.ReuseForWrite(old, name, c))(name)
}

func (fs *faultFS) wrap(f vfs.File, err error) func(name string) (vfs.File, error) {
	return func(name string) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return &faultFile{f, fs, isLog(name), name}, nil
	}
}

type faultFile struct {
	vfs.File
	fs   *faultFS
	log  bool
	name string
}

func (f *faultFile) Preallocate(int64, int64) error { return errors.ErrUnsupported }

func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.refused(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *faultFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.refused(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}

// refused returns why nothing can be written.
func (f *faultFile) refused() error {
	if f.fs.full.Load() {
		return syscall.ENOSPC
	}
	if _, hook := f.fs.hooks(); f.log && hook != nil {
		return hook()
	}
	return f.fs.refused(f.name)
}

func (f *faultFile) SyncData() error {
	if hook, _ := f.fs.hooks(); f.log && hook != nil {
		if err := hook(); err != nil {
			return err
		}
	}
	return f.File.SyncData()
}

func faulty(fs vfs.FS, reserve int64) Options {
	return Options{FS: fs, Reserve: reserve, Memtable: 256 << 10, Cache: 1 << 20, pause: 100 * time.Microsecond}
}

func openFaulty(t *testing.T, fs vfs.FS, reserve int64) *DB {
	t.Helper()
	db, err := Open("work", faulty(fs, reserve))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return db
}

func put(key, value string) *store.Batch {
	return &store.Batch{Set: []store.Item{{Key: []byte(key), Value: []byte(value)}}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsVisibleBeforeItIsDurable covers promise 5 for the database.
func TestNothingIsVisibleBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	must(t, db.Apply(t.Context(), put("k", "old")))
	must(t, db.Apply(t.Context(), put("other", "1")))

	syncing, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.set(func() error {
		once.Do(func() { close(syncing) })
		<-release
		return nil
	}, nil)
	var all sync.WaitGroup
	all.Go(func() {
		if err := db.Apply(t.Context(), put("k", "new")); err != nil {
			t.Error(err)
		}
	})
	<-syncing
	for { // until the batch is visible in Pebble, but not on the disk
		value, closer, err := db.kv.Get([]byte("k"))
		must(t, err)
		seen := string(value)
		must(t, closer.Close())
		if seen == "new" {
			break
		}
		runtime.Gosched()
	}

	if got, err := db.Get(t.Context(), []byte("other")); err != nil || string(got) != "1" {
		t.Errorf("a key that is not being written: %q, %v", got, err)
	}
	var released atomic.Bool
	var returned atomic.Int32
	check := func(what string, got []byte, err error) {
		if err != nil || string(got) != "new" || !released.Load() {
			t.Errorf("%s returned %q, %v; sync completed: %v", what, got, err, released.Load())
		}
	}
	all.Go(func() {
		defer returned.Add(1)
		got, err := db.Get(t.Context(), []byte("k"))
		check("Get", got, err)
	})
	all.Go(func() {
		defer returned.Add(1)
		for it, err := range db.Scan(t.Context(), store.Range{Limit: 1}) {
			check("Scan", it.Value, err)
		}
	})
	all.Go(func() {
		defer returned.Add(1)
		b := put("k", "newer")
		b.Expect = []store.Item{{Key: []byte("k"), Value: []byte("old")}}
		if err := db.Apply(t.Context(), b); !errors.Is(err, flawless.Fenced) || !released.Load() {
			t.Errorf("Apply that expects the old value: %v; sync completed: %v", err, released.Load())
		}
	})
	// All three must be waiting for the sync.
	for db.durable.waiting()+int(returned.Load()) < 3 {
		runtime.Gosched()
	}
	released.Store(true)
	close(release)
	all.Wait()
}

// TestWritersShareSync: the next sync covers all batches that arrive during a sync.
func TestWritersShareSync(t *testing.T) {
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
	handed := func() uint64 { // batches that are in the log of Pebble
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.started.Load()
	}
	for handed() < writers+1 {
		runtime.Gosched()
	}
	close(release)
	for range writers + 1 {
		must(t, <-done)
	}
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d syncs for one batch and %d concurrent ones, want 2", n, writers)
	}
}

func TestLogErrorIsReported(t *testing.T) {
	t.Parallel()
	bad := errors.New("the disk is broken")
	for _, c := range []struct {
		name            string
		onSync, onWrite func() error
	}{
		{"a sync fails", func() error { return bad }, nil},
		{"a write fails", nil, func() error { return bad }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := newFaultFS()
			db := openFaulty(t, fs, -1)
			must(t, db.Apply(t.Context(), put("before", "1")))
			fs.set(c.onSync, c.onWrite)
			if err := db.Apply(t.Context(), put("k", "1")); !errors.Is(err, bad) || flawless.CodeOf(err) != "" {
				t.Errorf("the Apply with the error: %v", err)
			}
			fs.set(nil, nil)
			for range 3 {
				err := db.Apply(t.Context(), put("later", strings.Repeat("x", 300<<10)))
				if !errors.Is(err, bad) || !strings.Contains(err.Error(), "restart") {
					t.Errorf("a later Apply: %v", err)
				}
			}
			if got, err := db.Get(t.Context(), []byte("before")); err != nil || string(got) != "1" {
				t.Errorf("the earlier write: %q, %v", got, err)
			}
			if got, err := db.Get(t.Context(), []byte("k")); !errors.Is(err, bad) {
				t.Errorf("the write with an unknown outcome: %q, %v", got, err)
			}
			// Started again, it holds what was acknowledged and works.
			again := openFaulty(t, fs.CrashClone(vfs.CrashCloneCfg{}), -1)
			if got, err := again.Get(t.Context(), []byte("before")); err != nil || string(got) != "1" {
				t.Errorf("after a restart: %q, %v", got, err)
			}
			must(t, again.Apply(t.Context(), put("k", "2")))
		})
	}
}

func TestLogCreationErrorIsReported(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	must(t, db.Apply(t.Context(), put("before", "1")))
	fs.full.Store(true) // without a reserve
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = db.Apply(t.Context(), put("k", strings.Repeat("x", 100<<10)))
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "space") {
		t.Errorf("after the disk was full: %v", err)
	}
	fs.full.Store(false)
	if got, err := db.Get(t.Context(), []byte("before")); err != nil || string(got) != "1" {
		t.Errorf("the earlier write: %q, %v", got, err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	const reserve = 1 << 20
	fs := newFaultFS()
	db := openFaulty(t, fs, reserve)
	if fi, err := fs.Stat("work/reserve"); err != nil || fi.Size() != reserve {
		t.Fatalf("the reserve: %v, %v", fi, err)
	}
	if full, why := db.Full(); full {
		t.Fatalf("full at the start: %s", why)
	}

	fs.full.Store(true)
	fs.free.Store(reserve)
	for range 20 { // needs new logs and tables, which the disk has no space for
		must(t, db.Apply(t.Context(), put("k", strings.Repeat("x", 100<<10))))
	}
	if full, why := db.Full(); !full || !strings.Contains(why, "full") {
		t.Errorf("after a write on a full disk, Full returns %v, %q", full, why)
	}
	if _, err := fs.Stat("work/reserve"); err == nil {
		t.Error("the reserve was not released")
	}

	fs.free.Store(reserve / 8)
	if err := db.Apply(t.Context(), put("k", "1")); !errors.Is(err, flawless.Full) {
		t.Errorf("Apply with the reserve used up: %v, want Full", err)
	}
	fs.free.Store(reserve + reserve/2)
	must(t, db.Apply(t.Context(), put("k", "2")))
	if full, _ := db.Full(); !full {
		t.Error("new work is taken before the reserve is back")
	}
	fs.free.Store(3 * reserve)
	db.space.look()
	if full, why := db.Full(); full {
		t.Errorf("still full after space was freed: %s", why)
	}
	if fi, err := fs.Stat("work/reserve"); err != nil || fi.Size() != reserve {
		t.Errorf("the reserve was not created again: %v, %v", fi, err)
	}
	if got, err := db.Get(t.Context(), []byte("k")); err != nil || string(got) != "2" {
		t.Errorf("k = %q, %v", got, err)
	}
}

// TestDatabaseOpensOnFullDisk: the start creates files, which may use the reserve.
func TestDatabaseOpensOnFullDisk(t *testing.T) {
	t.Parallel()
	const reserve = 1 << 20
	fs := newFaultFS()
	db, err := Open("work", Options{FS: fs, Reserve: reserve})
	if err != nil {
		t.Fatal(err)
	}
	must(t, db.Apply(t.Context(), put("k", "1")))
	must(t, db.Close()) // this removes the file owner
	fs.full.Store(true)
	fs.free.Store(0)
	again := openFaulty(t, fs, reserve)
	if full, _ := again.Full(); !full {
		t.Error("it does not say that the disk is full")
	}
	if got, err := again.Get(t.Context(), []byte("k")); err != nil || string(got) != "1" {
		t.Errorf("k = %q, %v", got, err)
	}
}

func TestPebbleFatalErrorIsReported(t *testing.T) {
	t.Parallel()
	db := openFaulty(t, vfs.NewMem(), -1)
	must(t, db.Apply(t.Context(), put("k", "1")))
	if err := guard(func() error { logger{db}.Fatalf("cannot go on: %d", 7); return nil }); err == nil || !strings.Contains(err.Error(), "cannot go on: 7") {
		t.Errorf("a call into Pebble: %v", err)
	}
	ended := make(chan struct{})
	returned := false
	go func() {
		defer close(ended)
		logger{db}.Fatalf("cannot go on")
		returned = true
	}()
	<-ended
	if returned {
		t.Error("a goroutine of Pebble's went on")
	}
	if err := db.Apply(t.Context(), put("k", "2")); err == nil || !strings.Contains(err.Error(), "cannot go on") {
		t.Errorf("Apply afterwards: %v", err)
	}
	if got, err := db.Get(t.Context(), []byte("k")); err != nil || string(got) != "1" {
		t.Errorf("Get afterwards: %q, %v", got, err)
	}
}

func TestCallsAfterCloseFail(t *testing.T) {
	t.Parallel()
	db := openFaulty(t, vfs.NewMem(), -1)
	must(t, db.Close())
	if err := db.Apply(t.Context(), put("k", "1")); !errors.Is(err, flawless.Stopping) {
		t.Errorf("Apply: %v", err)
	}
	if _, err := db.Get(t.Context(), []byte("k")); !errors.Is(err, flawless.Stopping) {
		t.Errorf("Get: %v", err)
	}
	for _, err := range db.Scan(t.Context(), store.Range{}) {
		if !errors.Is(err, flawless.Stopping) {
			t.Errorf("Scan: %v", err)
		}
	}
}

func (d *durable) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queue
}
