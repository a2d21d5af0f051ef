package pebble

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/flawless-engine/flawless/internal/store"
)

// failing fails the first operations of a kind, and counts all of them.
type failing struct {
	kind  errorfs.OpKind
	with  error
	times int
	calls int
}

func (f *failing) String() string { return fmt.Sprint(f.with) }

func (f *failing) MaybeError(op errorfs.Op) error {
	if op.Kind != f.kind {
		return nil
	}
	if f.calls++; f.calls <= f.times {
		return f.with
	}
	return nil
}

// file creates a file of ten bytes and opens it.
func file(t *testing.T, fs vfs.FS) vfs.File {
	t.Helper()
	f, err := fs.Create("file", vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write([]byte("0123456789"))
	must(t, err)
	must(t, f.Close())
	f, err = fs.OpenReadWrite("file", vfs.WriteCategoryUnspecified)
	must(t, err)
	return f
}

// TestTransientErrorsAreRetried tries every file operation with every error, once and three times in a row.
func TestTransientErrorsAreRetried(t *testing.T) {
	t.Parallel()
	all := []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EINTR, syscall.EAGAIN, syscall.ENOMEM, syscall.EIO, syscall.ENOSPC, syscall.EACCES}
	const (
		never   = ""
		calm    = "EINTR EAGAIN ENOMEM"
		files   = "EMFILE ENFILE " + calm
		plusEIO = " EIO"
	)
	names := map[syscall.Errno]string{syscall.EMFILE: "EMFILE", syscall.ENFILE: "ENFILE", syscall.EINTR: "EINTR", syscall.EAGAIN: "EAGAIN", syscall.ENOMEM: "ENOMEM", syscall.EIO: "EIO"}
	for _, row := range []struct {
		name   string
		kind   errorfs.OpKind
		passes string
		do     func(fs vfs.FS, f vfs.File) error
	}{
		{"open", errorfs.OpOpen, files + plusEIO, func(fs vfs.FS, _ vfs.File) error { _, err := fs.Open("file"); return err }},
		{"open a folder", errorfs.OpOpenDir, files + plusEIO, func(fs vfs.FS, _ vfs.File) error { _, err := fs.OpenDir(""); return err }},
		{"list", errorfs.OpList, files + plusEIO, func(fs vfs.FS, _ vfs.File) error { _, err := fs.List(""); return err }},
		{"stat", errorfs.OpStat, files + plusEIO, func(fs vfs.FS, _ vfs.File) error { _, err := fs.Stat("file"); return err }},
		{"disk usage", errorfs.OpGetDiskUsage, files + plusEIO, func(fs vfs.FS, _ vfs.File) error { _, err := fs.GetDiskUsage(""); return err }},
		{"create", errorfs.OpCreate, files, func(fs vfs.FS, _ vfs.File) error {
			_, err := fs.Create("new", vfs.WriteCategoryUnspecified)
			return err
		}},
		{"open to write", errorfs.OpOpen, files + plusEIO, func(fs vfs.FS, _ vfs.File) error {
			_, err := fs.OpenReadWrite("file", vfs.WriteCategoryUnspecified)
			return err
		}},
		{"reuse: open", errorfs.OpOpen, files + plusEIO, func(fs vfs.FS, _ vfs.File) error {
			_, err := fs.ReuseForWrite("file", "other", vfs.WriteCategoryUnspecified)
			return err
		}},
		{"reuse: rename", errorfs.OpRename, never, func(fs vfs.FS, _ vfs.File) error {
			_, err := fs.ReuseForWrite("file", "other", vfs.WriteCategoryUnspecified)
			return err
		}},
		{"make folders", errorfs.OpMkdirAll, files, func(fs vfs.FS, _ vfs.File) error { return fs.MkdirAll("a/b", 0o700) }},
		{"remove", errorfs.OpRemove, calm, func(fs vfs.FS, _ vfs.File) error { return fs.Remove("file") }},
		{"rename", errorfs.OpRename, never, func(fs vfs.FS, _ vfs.File) error { return fs.Rename("file", "other") }},
		{"link", errorfs.OpLink, never, func(fs vfs.FS, _ vfs.File) error { return fs.Link("file", "other") }},
		{"lock", errorfs.OpLock, never, func(fs vfs.FS, _ vfs.File) error { _, err := fs.Lock("lock"); return err }},
		{"read at", errorfs.OpFileReadAt, calm + plusEIO, func(_ vfs.FS, f vfs.File) error {
			b := make([]byte, 3)
			if _, err := f.ReadAt(b, 2); err != nil || string(b) != "234" {
				return errors.Join(err, fmt.Errorf("read %q", b))
			}
			return nil
		}},
		{"read on", errorfs.OpFileRead, calm, func(_ vfs.FS, f vfs.File) error {
			if b, err := io.ReadAll(f); err != nil || string(b) != "0123456789" {
				return errors.Join(err, fmt.Errorf("read %q", b))
			}
			return nil
		}},
		{"write", errorfs.OpFileWrite, calm, func(_ vfs.FS, f vfs.File) error { _, err := f.Write([]byte("abc")); return err }},
		{"write at", errorfs.OpFileWriteAt, calm, func(_ vfs.FS, f vfs.File) error { _, err := f.WriteAt([]byte("abc"), 2); return err }},
		{"sync", errorfs.OpFileSync, never, func(_ vfs.FS, f vfs.File) error { return f.Sync() }},
		{"sync data", errorfs.OpFileSyncData, never, func(_ vfs.FS, f vfs.File) error { return f.SyncData() }},
		{"sync to", errorfs.OpFileSyncTo, never, func(_ vfs.FS, f vfs.File) error { _, err := f.SyncTo(5); return err }},
		{"preallocate", errorfs.OpFilePreallocate, never, func(_ vfs.FS, f vfs.File) error { return f.Preallocate(0, 10) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, bad := range all {
				for _, times := range []int{1, 3} {
					passes := names[bad] != "" && strings.Contains(" "+row.passes+" ", " "+names[bad]+" ") && (times == 1 || bad != syscall.EIO)
					synctest.Test(t, func(t *testing.T) {
						mem := newFaultFS()
						file(t, mem)
						f := &failing{kind: errorfs.OpKind(-1)}
						fs := &patient{errorfs.Wrap(mem, f), slog.New(slog.DiscardHandler)}
						open, err := fs.OpenReadWrite("file", vfs.WriteCategoryUnspecified)
						must(t, err)
						f.kind, f.with, f.times = row.kind, bad, times
						err = row.do(fs, open)
						switch {
						case f.calls == 0:
							t.Fatal("it was never tried: this shows nothing")
						case passes && err != nil:
							t.Errorf("%v, %d times: %v", bad, times, err)
						case !passes && !errors.Is(err, bad):
							t.Errorf("%v, %d times: the error is not returned: %v", bad, times, err)
						case !passes && times == 1 && f.calls > 1:
							t.Errorf("%v: it was attempted %d times", bad, f.calls)
						}
					})
				}
			}
		})
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &failing{kind: errorfs.OpOpen, with: syscall.EMFILE, times: 1 << 30}
		mem := vfs.NewMem()
		file(t, mem)
		fs := &patient{errorfs.Wrap(mem, f), slog.New(slog.DiscardHandler)}
		began := time.Now()
		if _, err := fs.Open("file"); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("it returned %v", err)
		}
		if took := time.Since(began); took < patience || took > 2*patience {
			t.Errorf("it took %v", took)
		}
	})
}

// halting writes one byte, and fails.
type halting struct {
	vfs.File
	with error
	left int // times
}

func (h *halting) Write(b []byte) (int, error) {
	if h.left == 0 {
		return h.File.Write(b)
	}
	h.left--
	n, err := h.File.Write(b[:1])
	return n, errors.Join(err, h.with)
}

func (h *halting) WriteAt(b []byte, at int64) (int, error) {
	if h.left == 0 {
		return h.File.WriteAt(b, at)
	}
	h.left--
	n, err := h.File.WriteAt(b[:1], at)
	return n, errors.Join(err, h.with)
}

// TestInterruptedWriteContinues after the bytes that were written.
func TestInterruptedWriteContinues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		f := file(t, mem)
		p := &patientFile{&halting{f, syscall.EINTR, 3}, &patient{mem, slog.New(slog.DiscardHandler)}, "file"}
		if n, err := p.Write([]byte("abcdef")); n != 6 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		p.File.(*halting).left = 2
		if n, err := p.WriteAt([]byte("xyz"), 7); n != 3 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		p.File.(*halting).left, p.File.(*halting).with = 1, syscall.EIO
		if n, err := p.WriteAt([]byte("--"), 0); n != 1 || !errors.Is(err, syscall.EIO) {
			t.Errorf("after a permanent error: %d, %v", n, err)
		}
		b := make([]byte, 10)
		_, err := f.ReadAt(b, 0)
		must(t, err)
		if string(b) != "-bcdef6xyz" {
			t.Errorf("the file contains %q", b)
		}
	})
}

// TestTableOpenIsRetried if the process is out of file descriptors for a moment.
func TestTableOpenIsRetried(t *testing.T) {
	t.Parallel()
	for _, bad := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO} {
		t.Run(bad.Error(), func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			var refused atomic.Int32
			var armed atomic.Bool
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpOpen && isTable(op.Path) && armed.CompareAndSwap(true, false) {
					refused.Add(1)
					return bad
				}
				return nil
			}))
			db := openFaulty(t, fs, -1)
			n, err := pour(t, db, 40)
			must(t, err)
			must(t, db.Close())
			db = openFaulty(t, fs, -1)
			armed.Store(true)
			poured(t, db, n)
			b := put("k0", "new")
			b.Expect = []store.Item{{Key: []byte("k1"), Value: []byte(strings.Repeat("x", 60<<10))}}
			must(t, db.Apply(t.Context(), b))
			if refused.Load() == 0 {
				t.Error("no table was refused: this shows nothing")
			}
		})
	}
}

// TestFailedSyncIsNeverRetried counts the syncs of a log after one has failed.
func TestFailedSyncIsNeverRetried(t *testing.T) {
	t.Parallel()
	for _, bad := range []error{syscall.EINTR, syscall.EIO, syscall.ENOMEM, syscall.EAGAIN} {
		t.Run(bad.Error(), func(t *testing.T) {
			t.Parallel()
			fs := newFaultFS()
			db := openFaulty(t, fs, -1)
			must(t, db.Apply(t.Context(), put("before", "1")))
			var syncs atomic.Int32
			fs.set(func() error {
				if syncs.Add(1) == 1 {
					return bad
				}
				return nil
			}, nil)
			if err := db.Apply(t.Context(), put("k", "1")); !errors.Is(err, bad) {
				t.Errorf("the write whose sync failed: %v", err)
			}
			for range 3 {
				if err := db.Apply(t.Context(), put("later", "1")); !errors.Is(err, bad) {
					t.Errorf("a later write: %v", err)
				}
				runtime.Gosched()
			}
			if n := syncs.Load(); n != 1 {
				t.Errorf("the log was synced %d times", n)
			}
		})
	}
}
