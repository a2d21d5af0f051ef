package pebble_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

func openDisk(b *testing.B) *pebble.DB {
	b.Helper()
	db, err := pebble.Open(b.TempDir(), pebble.Options{Reserve: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

// turn returns a batch like that of a turn of a run.
func turn(i int64) *store.Batch {
	return &store.Batch{Set: []store.Item{
		{Key: fmt.Appendf(nil, "r%020d", i), Value: make([]byte, 300)},
		{Key: fmt.Appendf(nil, "h%020d", i%1000), Value: make([]byte, 200)},
	}}
}

func BenchmarkApply(b *testing.B) {
	db := openDisk(b)
	for i := int64(0); b.Loop(); i++ {
		if err := db.Apply(b.Context(), turn(i)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply64Writers(b *testing.B) {
	db := openDisk(b)
	if err := db.Apply(b.Context(), &store.Batch{Set: []store.Item{{Key: []byte("lease"), Value: []byte("1")}}}); err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(32) // times two processors
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			t := turn(n.Add(1))
			t.Expect = []store.Item{{Key: []byte("lease"), Value: []byte("1")}}
			if err := db.Apply(b.Context(), t); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
}
