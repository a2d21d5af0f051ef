package pebble_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/pebble"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestPowerLoss simulates power failures at random times under eight writers, while memory is flushed to tables every few
// batches. The batches of a writer are numbered, and set all of its keys or one.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			var w writers
			fs := vfs.NewCrashableMem()
			for range 5 {
				// What is not synced is dropped, or kept block by block at random.
				cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng}
				fs = w.crash(t, fs, 20+rng.IntN(200), cfg)
				w.check(t, fs.CrashClone(vfs.CrashCloneCfg{})) // a copy: the next round starts without a shutdown
			}
		})
	}
}

// rotating returns options that flush memory to a table every 64 KiB.
func rotating(fs vfs.FS) pebble.Options {
	return pebble.Options{FS: fs, Reserve: -1, Memtable: 64 << 10, Cache: 1 << 20}
}

// slowLogs lets other goroutines run before a log is synced.
type slowLogs struct{ *vfs.MemFS }

func (fs slowLogs) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.MemFS.Create(name, c)
	return slowFile(f, name), err
}

// ReuseForWrite replaces that of MemFS, which locks twice and deadlocks with a concurrent clone.
func (fs slowLogs) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.Rename(old, name); err != nil {
		return nil, err
	}
	f, err := fs.OpenReadWrite(name, c)
	return slowFile(f, name), err
}

func slowFile(f vfs.File, name string) vfs.File {
	if f == nil || !strings.HasSuffix(name, ".log") {
		return f
	}
	return slowLog{f}
}

type slowLog struct{ vfs.File }

func (f slowLog) Sync() error { return f.SyncData() }

func (f slowLog) SyncData() error {
	for range 2000 {
		runtime.Gosched()
	}
	return f.File.SyncData()
}

// writers are eight writers, with the numbers of the newest batch that each has begun and that was acknowledged.
type writers struct {
	mu           sync.Mutex
	begun, acked [8]int
}

// crash writes until a number of batches is acknowledged, and returns what a power failure leaves then.
func (w *writers) crash(t *testing.T, fs *vfs.MemFS, batches int, cfg vfs.CrashCloneCfg) *vfs.MemFS {
	db, err := pebble.Open("work", rotating(slowLogs{fs}))
	if err != nil {
		t.Fatal(err)
	}
	stop, enough := make(chan struct{}), make(chan struct{})
	var total atomic.Int64
	var all sync.WaitGroup
	for n := range w.begun {
		first := w.begun[n] + 1
		all.Go(func() {
			for i := first; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				w.set(&w.begun[n], i)
				v := fmt.Appendf(nil, "%d %s", i, make([]byte, i*37%2000))
				var b store.Batch
				for k, last := range keysAfter(i) {
					if last == i {
						b.Set = append(b.Set, store.Item{Key: fmt.Appendf(nil, "%d/%d", n, k), Value: v})
					}
				}
				if err := db.Apply(t.Context(), &b); err != nil {
					t.Error(err)
					return
				}
				w.set(&w.acked[n], i)
				if total.Add(1) == int64(batches) {
					close(enough)
				}
			}
		})
	}
	<-enough
	w.mu.Lock()
	acked := w.acked
	w.mu.Unlock()
	crashed := fs.CrashClone(cfg)
	w.mu.Lock()
	begun := w.begun
	w.mu.Unlock()
	close(stop)
	all.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w.acked, w.begun = acked, begun
	return crashed
}

// keysAfter returns which batch up to the given one was the last to set each key of a writer.
func keysAfter(batch int) (keys [3]int) {
	for i := max(batch-5, 1); i <= batch; i++ {
		if keys[i%3] = i; i%2 == 0 {
			keys = [3]int{i, i, i}
		}
	}
	return keys
}

func (w *writers) set(n *int, to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*n = to
}

// check verifies the state after a power failure, and continues from it.
func (w *writers) check(t *testing.T, fs vfs.FS) {
	t.Helper()
	db, err := pebble.Open("work", rotating(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range w.acked {
		var n [3]int
		for k := range n {
			v, err := db.Get(t.Context(), fmt.Appendf(nil, "%d/%d", i, k))
			if err != nil && !errors.Is(err, flawless.NotFound) {
				t.Fatal(err)
			}
			if err == nil {
				if _, err := fmt.Sscan(string(v), &n[k]); err != nil {
					t.Fatal(err)
				}
			}
		}
		newest := max(n[0], n[1], n[2])
		if n != keysAfter(newest) {
			t.Errorf("writer %d: part of a batch survived: %v, want %v", i, n, keysAfter(newest))
		}
		if newest < w.acked[i] || newest > w.begun[i] {
			t.Errorf("writer %d: the newest batch is %d, but %d was acknowledged and %d begun", i, newest, w.acked[i], w.begun[i])
		}
		w.acked[i], w.begun[i] = newest, newest
	}
}

// TestAgreesWithMemory applies the same random operations to both databases, with crashes and restarts of this one in
// between.
func TestAgreesWithMemory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		fs := vfs.NewCrashableMem()
		db, model := open(t, fs), mem.New()
		defer func() { db.Close() }()
		key := rapid.StringMatching(`[ab\x00\x{ff}]{0,3}`)
		value := rapid.OneOf(rapid.StringN(0, 5, -1), rapid.Just(string(make([]byte, 40<<10))))
		both := func(do func(kv store.KV) any) {
			if diff := cmp.Diff(do(model), do(db)); diff != "" {
				r.Fatalf("the databases differ (-memory +pebble):\n%s", diff)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"apply": func(r *rapid.T) {
				b := drawBatch(r, key, value, model)
				both(func(kv store.KV) any { return codeOf(kv.Apply(t.Context(), &b)) })
			},
			"get": func(r *rapid.T) {
				k := []byte(key.Draw(r, "key"))
				both(func(kv store.KV) any {
					v, err := kv.Get(t.Context(), k)
					return []any{string(v), codeOf(err)}
				})
			},
			"scan": func(r *rapid.T) {
				rg := store.Range{From: []byte(key.Draw(r, "from")), Reverse: rapid.Bool().Draw(r, "reverse"), Limit: rapid.IntRange(0, 4).Draw(r, "limit")}
				if to := key.Draw(r, "to"); to >= string(rg.From) && to != "" {
					rg.To = []byte(to)
				}
				both(func(kv store.KV) any {
					var got []string
					for it, err := range kv.Scan(t.Context(), rg) {
						if err != nil {
							return err.Error()
						}
						got = append(got, string(it.Key)+"="+string(it.Value))
					}
					return got
				})
			},
			"crash": func(r *rapid.T) {
				old := db
				fs = fs.CrashClone(vfs.CrashCloneCfg{})
				db = open(t, fs)
				if err := old.Close(); err != nil {
					r.Fatal(err)
				}
			},
		})
	})
}

func drawBatch(r *rapid.T, key, value *rapid.Generator[string], model *mem.DB) store.Batch {
	var b store.Batch
	for _, k := range rapid.SliceOfNDistinct(key, 0, 4, rapid.ID).Draw(r, "keys") {
		if rapid.Bool().Draw(r, "set") {
			b.Set = append(b.Set, store.Item{Key: []byte(k), Value: []byte(value.Draw(r, "value"))})
		} else {
			b.Delete = append(b.Delete, []byte(k))
		}
	}
	for _, k := range rapid.SliceOfN(key, 0, 2).Draw(r, "expected") {
		v, err := model.Get(r.Context(), []byte(k))
		if err != nil {
			v = nil
		}
		if rapid.IntRange(0, 3).Draw(r, "wrong") == 0 {
			v = []byte("wrong")
		}
		b.Expect = append(b.Expect, store.Item{Key: []byte(k), Value: v})
	}
	return b
}
