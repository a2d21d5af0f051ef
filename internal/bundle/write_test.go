package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/flawless-engine/flawless"
)

// turns yields a log of a start and n turns, each with a body of size bytes, generated while it is read.
func turns(n, size int) func() iter.Seq2[flawless.Record, error] {
	first := sample().Log[0]
	return func() iter.Seq2[flawless.Record, error] {
		return func(yield func(flawless.Record, error) bool) {
			if !yield(first, nil) {
				return
			}
			for k := range n {
				body := bytes.Repeat(fmt.Appendf(nil, "%08d", k), size/8)
				rec := flawless.Record{Seq: uint64(k + 1), Entries: []flawless.Entry{{At: 6, Turn: &flawless.Turn{N: k + 1, Calls: []flawless.Call{{N: k + 1, Kind: "http", Head: []byte(`{"url":"a"}`), Body: body}}}}}}
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// TestExportBuffersOneRecord writes a log of 64 MiB to a file and checks the heap while the log is read.
func TestExportBuffersOneRecord(t *testing.T) {
	x := Export{Manifest: sample().Manifest, Log: turns(64, 1<<20)}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, log := uint64(0), x.Log
	x.Log = func() iter.Seq2[flawless.Record, error] {
		return func(yield func(flawless.Record, error) bool) {
			for rec, err := range log() {
				if rec.Seq%16 == 15 {
					runtime.GC()
					runtime.ReadMemStats(&now)
					most = max(most, now.HeapAlloc-min(now.HeapAlloc, before.HeapAlloc))
				}
				if !yield(rec, err) {
					return
				}
			}
		}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := x.Write(f)
	if err != nil {
		t.Fatal(err)
	}
	if most == 0 || most > 32<<20 {
		t.Errorf("up to %d MiB were in use", most>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(f)
	if err != nil || int64(len(all)) != size {
		t.Fatalf("it has %d bytes, and %d were told: %v", len(all), size, err)
	}
	if b, err := Read(bytes.NewReader(all)); err != nil || len(b.Log) != 65 {
		t.Errorf("read again it has %d records: %v", len(b.Log), err)
	}
}

// TestExportDetectsConcurrentLogChange lets a log grow, which is allowed, and change, which is not.
func TestExportDetectsConcurrentLogChange(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name          string
		first, second func() iter.Seq2[flawless.Record, error]
		err           error
	}{
		{"grows", turns(3, 80), turns(5, 80), nil},
		{"is cut", turns(3, 80), turns(2, 80), flawless.Conflict},
		{"has less in it", turns(3, 80), turns(3, 72), flawless.Conflict},
		{"has more in it", turns(3, 80), turns(3, 88), flawless.Conflict},
		{"cannot be read on", turns(3, 80), func() iter.Seq2[flawless.Record, error] {
			return func(yield func(flawless.Record, error) bool) { yield(flawless.Record{}, flawless.Damaged) }
		}, flawless.Damaged},
	} {
		x, read := Export{Manifest: sample().Manifest}, 0
		x.Log = func() iter.Seq2[flawless.Record, error] {
			if read++; read == 1 {
				return row.first()
			}
			return row.second()
		}
		var out memory
		_, err := x.Write(&out)
		if !errors.Is(err, row.err) {
			t.Errorf("it %s: %v, want %v", row.name, err, row.err)
		}
		if row.err != nil {
			continue
		}
		if b, err := Read(&out.Buffer); err != nil || len(b.Log) != 4 {
			t.Errorf("it %s: read again it has %d records, %v", row.name, len(b.Log), err)
		}
	}
}

// TestOversizedExportIsRefused exports more than can be imported.
func TestOversizedExportIsRefused(t *testing.T) {
	t.Parallel()
	c := &counted{w: io.Discard, n: Max - int64(head) - 1, sum: sha256.New()}
	if _, err := c.Write([]byte("1")); err != nil {
		t.Errorf("the last byte: %v", err)
	}
	if _, err := c.Write([]byte("2")); !errors.Is(err, flawless.TooLarge) {
		t.Errorf("one more: %v", err)
	}
}
