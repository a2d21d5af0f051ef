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

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
)

// pour writes until an error, at limit limit times, and returns the number of acknowledged writes.
func pour(t *testing.T, db *DB, limit int) (n int, err error) {
	t.Helper()
	for ; n < limit; n++ {
		if err = db.Apply(t.Context(), put(fmt.Sprint("k", n), strings.Repeat("x", 60<<10))); err != nil {
			return n, err
		}
	}
	return n, nil
}

// poured checks that n writes exist.
func poured(t *testing.T, db *DB, n int) {
	t.Helper()
	for i := range n {
		if got, err := db.Get(t.Context(), fmt.Append(nil, "k", i)); err != nil || len(got) != 60<<10 {
			t.Fatalf("write %d of %d: %d bytes, %v", i, n, len(got), err)
		}
	}
}

func TestTableWriteErrorIsReported(t *testing.T) {
	t.Parallel()
	for _, part := range []string{".sst", "MANIFEST"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			fs := newFaultFS()
			db, err := Open("work", faulty(fs, -1))
			must(t, err)
			var tries atomic.Int32
			fs.setFiles(part, func() error { tries.Add(1); return syscall.EIO })
			n, err := pour(t, db, 1000)
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "restart") {
				t.Errorf("after %d writes: %v", n, err)
			}
			// Whatever had to wait goes on, and nothing comes to the disk any more.
			if err := db.Apply(t.Context(), put("later", "1")); !errors.Is(err, syscall.EIO) {
				t.Errorf("a later Apply: %v", err)
			}
			poured(t, db, 2)
			must(t, db.Close())
			if got := tries.Load(); got > maxSetbacks {
				t.Errorf("%d tables were attempted, want at limit %d", got, maxSetbacks)
			}
			fs.setFiles("", nil)
			poured(t, openFaulty(t, fs, -1), n)
		})
	}
}

func TestTableWriteIsRetried(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	var tries atomic.Int32
	fs.setFiles(".sst", func() error {
		if tries.Add(1) < maxSetbacks {
			return syscall.EIO
		}
		return nil
	})
	n, err := pour(t, db, 100)
	must(t, err)
	poured(t, db, n)
	if tries.Load() < maxSetbacks {
		t.Errorf("only %d tables were attempted", tries.Load())
	}
}

func TestFullDiskForTables(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	var tries atomic.Int32
	fs.setFiles(".sst", func() error {
		tries.Add(1)
		return syscall.ENOSPC
	})
	n, err := pour(t, db, 8) // more than one table, but not enough to block a write
	if err != nil && !errors.Is(err, flawless.Full) {
		t.Fatal(err)
	}
	for tries.Load() < 5*maxSetbacks {
		runtime.Gosched()
	}
	if err := db.Apply(t.Context(), put("k", "1")); !errors.Is(err, flawless.Full) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("Apply: %v, want Full", err)
	}
	poured(t, db, n)
	fs.setFiles("", nil)
	for errors.Is(db.Apply(t.Context(), put("k", "1")), flawless.Full) {
		runtime.Gosched()
	}
	poured(t, db, n)
	if full, why := db.Full(); full {
		t.Errorf("still full after space was freed: %s", why)
	}
}

// TestWriteWaitsForSpace if all writes arrive before a table fails.
func TestWriteWaitsForSpace(t *testing.T) {
	t.Parallel()
	fs := newFaultFS()
	db := openFaulty(t, fs, -1)
	fs.setFiles(".sst", func() error {
		for !db.tables.awaited.Load() {
			runtime.Gosched()
		}
		return syscall.ENOSPC
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if n, err := pour(t, db, 1000); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, flawless.Full) {
				t.Errorf("after %d writes: %v", n, err)
			}
		})
	}
	all.Wait()
	if err := db.Apply(t.Context(), put("k", "1")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a later Apply: %v", err)
	}
}

func TestOpenOnFailingDisk(t *testing.T) {
	t.Parallel()
	for _, part := range []string{".sst", "MANIFEST", "marker", "dbtmp"} {
		for _, bad := range []error{syscall.EIO, syscall.ENOSPC} {
			t.Run(fmt.Sprint(part, " ", bad), func(t *testing.T) {
				t.Parallel()
				fs := newFaultFS()
				db, err := Open("work", faulty(fs, -1))
				must(t, err)
				n, err := pour(t, db, 7)
				must(t, err)
				must(t, db.Close())
				fs.setFiles(part, func() error { return bad })
				if db, err := Open("work", faulty(fs, -1)); !errors.Is(err, bad) || !strings.Contains(err.Error(), "space") || db != nil {
					t.Errorf("on the failing disk: %v", err)
				}
				// It is as when the power went off, and the directory is free.
				fs.setFiles("", nil)
				poured(t, openFaulty(t, fs.CrashClone(vfs.CrashCloneCfg{}), -1), n)
				poured(t, openFaulty(t, fs, -1), n)
			})
		}
	}
}
