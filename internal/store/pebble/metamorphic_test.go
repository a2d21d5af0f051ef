package pebble

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

var (
	crashEvery = flag.Int("crash-every", 100, "TestCrashAtFileOperations crashes at every n-th operation on a file")
	crashSeeds = flag.Uint64("crash-seeds", 1, "so many times, each with other operations")
)

// TestCrashAtFileOperations applies the same random operations to this database and the one in memory, enough to
// fill tables of several levels. After every n-th file operation it examines what a crash would leave: a database that
// opens, with everything that was acknowledged and nothing that was not begun. Opening that one crashes again.
func TestCrashAtFileOperations(t *testing.T) {
	t.Parallel()
	for seed := range *crashSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &machine{t: t, rng: rand.New(rand.NewPCG(seed, 3)), model: mem.New(), states: []*mem.DB{mem.New()}}
			m.use(vfs.NewCrashableMem())
			for m.written < 11<<20 && !t.Failed() {
				m.step()
			}
			m.same(m.db, m.model)
			if err := m.db.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d batches, %d operations on files, %d crashes", len(m.states)-1, m.operations.Load(), m.crashes.Load())
			if m.crashes.Load() < 20 {
				t.Error("there were too few crashes: this shows nothing")
			}
		})
	}
}

// machine applies random operations to both databases.
type machine struct {
	t       *testing.T
	rng     *rand.Rand
	disk    *vfs.MemFS
	db      *DB
	model   *mem.DB
	written int // bytes

	operations, crashes atomic.Int64

	mu           sync.Mutex
	states       []*mem.DB // after each batch
	begun, acked int       // the newest batch that was begun, or acknowledged
}

// use opens the database on a disk.
func (m *machine) use(disk *vfs.MemFS) {
	m.disk = disk
	db, err := Open("work", faulty(beforeWrites(disk, func() {
		if m.operations.Add(1)%int64(*crashEvery) == 0 {
			m.crash(disk)
		}
	}), -1))
	if err != nil {
		m.t.Fatal(err)
	}
	m.db = db
}

// beforeWrites calls do before each operation that changes a disk.
func beforeWrites(disk *vfs.MemFS, do func()) vfs.FS {
	return errorfs.Wrap(renaming{disk}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			do()
		}
		return nil
	}))
}

// renaming is a disk that may be cloned at any time. ReuseForWrite of MemFS locks twice and deadlocks with a concurrent
// clone.
type renaming struct{ *vfs.MemFS }

func (fs renaming) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.Rename(old, name); err != nil {
		return nil, err
	}
	return fs.OpenReadWrite(name, c)
}

// crash examines what a power failure would leave now, while the database continues.
func (m *machine) crash(disk *vfs.MemFS) {
	n := m.crashes.Add(1)
	rng := rand.New(rand.NewPCG(uint64(n), 4))
	m.mu.Lock()
	acked := m.acked
	m.mu.Unlock()
	after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
	m.mu.Lock()
	possible := m.states[acked : m.begun+1]
	m.mu.Unlock()

	var again atomic.Pointer[vfs.MemFS]
	var left atomic.Int64
	left.Store(rng.Int64N(30))
	m.recovered(fmt.Sprintf("after crash %d", n), beforeWrites(after, func() {
		if left.Add(-1) == 0 {
			again.Store(after.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng}))
		}
	}), possible)
	if disk := again.Load(); disk != nil {
		m.recovered(fmt.Sprintf("after crash %d and another one", n), disk, possible)
	}
}

// recovered opens a database and checks that its state is one of the possible ones.
func (m *machine) recovered(when string, disk vfs.FS, possible []*mem.DB) {
	db, err := Open("work", faulty(disk, -1))
	if err != nil {
		m.t.Errorf("%s: %v", when, err)
		return
	}
	defer db.Close()
	for _, state := range possible {
		if m.difference(db, state) == "" {
			return
		}
	}
	m.t.Errorf("%s: unexpected state: %s", when, m.difference(db, possible[0]))
}

// difference returns the first difference between two databases.
func (m *machine) difference(a, b store.KV) string {
	next, stop := iter.Pull2(b.Scan(m.t.Context(), store.Range{}))
	defer stop()
	for x, err := range a.Scan(m.t.Context(), store.Range{}) {
		y, _, more := next()
		switch {
		case err != nil:
			return err.Error()
		case !more || !bytes.Equal(x.Key, y.Key):
			return fmt.Sprintf("key %q is there, and should not be", x.Key)
		case !bytes.Equal(x.Value, y.Value):
			return fmt.Sprintf("key %q has another value", x.Key)
		}
	}
	if y, _, more := next(); more {
		return fmt.Sprintf("key %q is missing", y.Key)
	}
	return ""
}

func (m *machine) same(a, b store.KV) {
	m.t.Helper()
	if d := m.difference(a, b); d != "" {
		m.t.Error(d)
	}
}

// step performs one random operation.
func (m *machine) step() {
	switch n := m.rng.IntN(100); {
	case n < 70:
		m.apply()
	case n < 85:
		k := m.key()
		got, err := m.db.Get(m.t.Context(), k)
		want, wantErr := m.model.Get(m.t.Context(), k)
		if !bytes.Equal(got, want) || flawless.CodeOf(err) != flawless.CodeOf(wantErr) {
			m.t.Errorf("key %q: %d bytes, %v; in memory %d bytes, %v", k, len(got), err, len(want), wantErr)
		}
	case n < 94:
		m.scan()
	case n < 96:
		if err := m.db.kv.Flush(); err != nil {
			m.t.Error(err)
		}
	case n < 97:
		if err := m.db.kv.Compact(m.t.Context(), []byte("k"), []byte("l"), false); err != nil {
			m.t.Error(err)
		}
	default:
		old, disk := m.db, m.disk
		if n == 99 { // nothing is in progress: everything was acknowledged
			disk = disk.CrashClone(vfs.CrashCloneCfg{})
		}
		if err := old.Close(); err != nil {
			m.t.Error(err)
		}
		m.use(disk)
	}
}

func (m *machine) key() []byte { return fmt.Appendf(nil, "k%03d", m.rng.IntN(300)) }

func (m *machine) scan() {
	r := store.Range{From: m.key(), Reverse: m.rng.IntN(2) == 0, Limit: m.rng.IntN(5)}
	if to := m.key(); bytes.Compare(r.From, to) < 0 {
		r.To = to
	}
	read := func(kv store.KV) (text string) {
		for it, err := range kv.Scan(m.t.Context(), r) {
			text += fmt.Sprintf("%q %x %v\n", it.Key, it.Value, err)
		}
		return text
	}
	if read(m.db) != read(m.model) {
		m.t.Errorf("range %+v differs", r)
	}
}

// apply applies a random batch to both databases.
func (m *machine) apply() {
	b := &store.Batch{}
	seen := map[string]bool{}
	for range 1 + m.rng.IntN(4) {
		k := m.key()
		if seen[string(k)] {
			continue
		}
		seen[string(k)] = true
		if m.rng.IntN(4) == 0 {
			b.Delete = append(b.Delete, k)
			continue
		}
		size := m.rng.IntN(10 << 10)
		if m.rng.IntN(40) == 0 {
			size = 200 << 10 // more than half of the memtable, which Pebble handles differently
		}
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(m.rng.Uint32())
		}
		b.Set = append(b.Set, store.Item{Key: k, Value: value})
		m.written += size
	}
	for range m.rng.IntN(3) {
		k := m.key()
		value, _ := m.model.Get(m.t.Context(), k)
		if m.rng.IntN(8) == 0 {
			value = []byte("wrong")
		}
		b.Expect = append(b.Expect, store.Item{Key: k, Value: value})
	}

	want := m.model.Apply(m.t.Context(), b)
	m.mu.Lock()
	m.states = append(m.states, m.model.Clone())
	m.begun++
	m.mu.Unlock()
	err := m.db.Apply(m.t.Context(), b)
	if flawless.CodeOf(err) != flawless.CodeOf(want) || (err == nil) != (want == nil) {
		m.t.Errorf("a batch: %v; in memory %v", err, want)
	}
	if err != nil && !errors.Is(err, flawless.Fenced) {
		m.t.FailNow()
	}
	m.mu.Lock()
	m.acked++
	m.mu.Unlock()
}
