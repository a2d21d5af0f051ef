package pebble_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// floor measures the minimum time of a durable append on this disk: 4 KiB into a preallocated file, and a sync of the
// data.
type floor struct {
	f     *os.File
	block []byte
	took  times
}

// times are repeated measurements.
type times []time.Duration

// middle returns the median, which is more meaningful than the mean on a busy machine.
func (t times) middle() float64 {
	if len(t) == 0 {
		return 0
	}
	return float64(slices.Sorted(slices.Values(t))[len(t)/2])
}

const floorSize = 16 << 20

func openFloor(b *testing.B) *floor {
	b.Helper()
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err := f.Write(make([]byte, floorSize)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return &floor{f: f, block: make([]byte, 4096)}
}

func (fl *floor) append(b *testing.B) {
	start := time.Now()
	if _, err := fl.f.WriteAt(fl.block, int64(len(fl.took)*len(fl.block)%floorSize)); err != nil {
		b.Fatal(err)
	}
	if err := syscall.Fdatasync(int(fl.f.Fd())); err != nil {
		b.Fatal(err)
	}
	fl.took = append(fl.took, time.Since(start))
}

// life writes a run as the engine does: a start, a turn with a call, and a turn that ends it. Every third write changes
// the head.
type life struct {
	s     *store.Store
	l     *store.Lease
	id    string
	seq   uint64
	head  *store.Head
	turns []flawless.Entry
}

func newLife(s *store.Store, l *store.Lease, i int64) *life {
	return &life{s: s, l: l, id: fmt.Sprintf("run-%020d", i), turns: []flawless.Entry{
		{At: 1 << 60, Turn: &flawless.Turn{N: 1, Time: 1 << 60, Answers: []int{1}, Calls: []flawless.Call{{N: 1, Kind: "http", Head: make([]byte, 200)}}, Cost: 12345}},
	}}
}

func (r *life) write(b *testing.B) {
	w := store.Write{ID: r.id, Seq: r.seq, Entries: r.turns}
	var after store.Head
	if r.seq%3 == 0 {
		after.Run = flawless.Run{ID: r.id, Module: "module", Digest: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Workflow: "pay", Status: flawless.Running, Created: time.Unix(1_700_000_000, 5)}
		after.Active = true
		if r.seq%2 == 1 {
			after.Run.Status, after.Run.Turns, after.Active = flawless.Waiting, int(r.seq), false
		}
		w.New, w.Before, w.After = r.head == nil, r.head, &after
	}
	if err := r.s.Write(b.Context(), r.l, w); err != nil {
		b.Fatal(err)
	}
	if w.After != nil {
		r.head = &after
	}
	r.seq++
}

func openStore(b *testing.B) (*store.Store, *store.Lease) {
	b.Helper()
	s, err := store.Open(b.Context(), openDisk(b))
	if err != nil {
		b.Fatal(err)
	}
	l, err := s.Claim(b.Context(), "benchmark")
	if err != nil {
		b.Fatal(err)
	}
	return s, l
}

// cpu returns the CPU time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStoreWrite measures one writer, and the floor between its writes, so that both see the same disk.
func BenchmarkStoreWrite(b *testing.B) {
	s, l := openStore(b)
	fl := openFloor(b)
	r := newLife(s, l, 0)
	b.ReportAllocs()
	var took times
	var used time.Duration
	before := cpu()
	for b.Loop() {
		if n := len(took); n%64 == 0 {
			b.StopTimer()
			used += cpu() - before
			for range 64 {
				fl.append(b)
			}
			r = newLife(s, l, int64(n))
			before = cpu()
			b.StartTimer()
		}
		start := time.Now()
		r.write(b)
		took = append(took, time.Since(start))
	}
	used += cpu() - before
	b.ReportMetric(took.middle(), "p50-ns")
	b.ReportMetric(fl.took.middle(), "floor-ns")
	b.ReportMetric(took.middle()/fl.took.middle(), "x-floor")
	b.ReportMetric(float64(used.Nanoseconds())/float64(len(took)), "cpu-ns/op")
}

// BenchmarkStoreWrite64 measures 64 writers, each with its own runs.
func BenchmarkStoreWrite64(b *testing.B) {
	s, l := openStore(b)
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for w := range int64(64) {
		all.Go(func() {
			r := newLife(s, l, w)
			for left.Add(-1) >= 0 {
				r.write(b)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}
