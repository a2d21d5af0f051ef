package pebble_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestPowerLoss cuts the power at random moments under eight writers. Each batch sets three keys of
// a writer to the same number, which counts up.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	const writers = 8
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			fs := vfs.NewCrashableMem()
			db := open(t, fs)
			var mu sync.Mutex
			var acked, begun [writers]int
			stop := make(chan struct{})
			enough := make(chan struct{})
			total, target := 0, 50+rng.IntN(400)
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					for i := 1; ; i++ {
						select {
						case <-stop:
							return
						default:
						}
						mu.Lock()
						begun[w] = i
						mu.Unlock()
						v := fmt.Appendf(nil, "%d %s", i, make([]byte, i*37%2000))
						var b store.Batch
						for k := range 3 {
							b.Set = append(b.Set, store.Item{Key: fmt.Appendf(nil, "%d/%d", w, k), Value: v})
						}
						if err := db.Apply(t.Context(), &b); err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						acked[w] = i
						if total++; total == target {
							close(enough)
						}
						mu.Unlock()
					}
				})
			}
			<-enough
			mu.Lock()
			before := acked
			mu.Unlock()
			// What is not synced is dropped, or kept block by block at random.
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed%3) * 50, RNG: rand.New(rand.NewPCG(seed, 2))}
			crashed := fs.CrashClone(cfg)
			mu.Lock()
			after := begun
			mu.Unlock()
			close(stop)
			all.Wait()
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}

			db = open(t, crashed)
			defer db.Close()
			for w := range writers {
				var n [3]int
				for k := range n {
					if v, err := db.Get(t.Context(), fmt.Appendf(nil, "%d/%d", w, k)); err == nil {
						if _, err := fmt.Sscan(string(v), &n[k]); err != nil {
							t.Fatal(err)
						}
					}
				}
				if n[0] != n[1] || n[1] != n[2] {
					t.Errorf("writer %d: half of a batch survived: %v", w, n)
				}
				if n[0] < before[w] || n[0] > after[w] {
					t.Errorf("writer %d: batch %d is there, %d was acknowledged and %d begun", w, n[0], before[w], after[w])
				}
			}
			if err := db.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: []byte("after"), Value: []byte("1")}}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAgreesWithMemory carries out the same random operations on both databases, with crashes and
// restarts of this one between them.
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
				r.Fatalf("they disagree (-memory +pebble):\n%s", diff)
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
