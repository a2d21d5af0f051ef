package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// turn returns a batch like that of a turn of a run.
func turn(i int64) *store.Batch {
	return &store.Batch{
		Expect: []store.Item{{Key: []byte("lease"), Value: []byte("1")}},
		Set: []store.Item{
			{Key: fmt.Appendf(nil, "r%020d", i), Value: make([]byte, 300)},
			{Key: fmt.Appendf(nil, "h%020d", i%1000), Value: make([]byte, 200)},
		},
	}
}

func leased(b *testing.B) *DB {
	b.Helper()
	db := open(b, Options{})
	b.Cleanup(func() { db.Close() })
	if err := db.Apply(b.Context(), &store.Batch{Set: []store.Item{{Key: []byte("lease"), Value: []byte("1")}}}); err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkFloor measures the minimum time of a durable write on this server: one row of 4 KiB.
func BenchmarkFloor(b *testing.B) {
	conn, err := pgx.Connect(context.Background(), pgtest.Shared(b).URL(pgtest.User))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.Context(), "CREATE TABLE IF NOT EXISTS floor (k bigserial PRIMARY KEY, v bytea); ALTER TABLE floor ALTER v SET STORAGE EXTERNAL"); err != nil {
		b.Fatal(err)
	}
	block := make([]byte, 4096)
	for b.Loop() {
		if _, err := conn.Exec(b.Context(), "INSERT INTO floor (v) VALUES ($1)", block); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	db := leased(b)
	for i := int64(0); b.Loop(); i++ {
		if err := db.Apply(b.Context(), turn(i)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApply64Writers(b *testing.B)  { benchmarkWriters(b, 64) }
func BenchmarkApply256Writers(b *testing.B) { benchmarkWriters(b, 256) }

func benchmarkWriters(b *testing.B, writers int) {
	db := leased(b)
	var n atomic.Int64
	b.SetParallelism(writers / 2) // times two processors
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := db.Apply(b.Context(), turn(n.Add(1))); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
	statements := int64(0)
	for _, l := range db.lanes {
		statements += l.n.Load()
	}
	b.ReportMetric(float64(b.N)/float64(statements), "batches/statement")
}

func BenchmarkGet(b *testing.B) {
	db := leased(b)
	for b.Loop() {
		if _, err := db.Get(b.Context(), []byte("lease")); err != nil {
			b.Fatal(err)
		}
	}
}
