package mem_test

import (
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

func TestConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.KV { return mem.New() })
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	db := mem.New()
	put := func(db *mem.DB, key, value string) {
		t.Helper()
		if err := db.Apply(t.Context(), &store.Batch{Set: []store.Item{{Key: []byte(key), Value: []byte(value)}}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		put(db, fmt.Sprint(i), "old")
	}
	clone := db.Clone()
	put(db, "5", "new")
	put(clone, "6", "clone")
	for _, c := range []struct {
		db        *mem.DB
		key, want string
	}{{db, "5", "new"}, {db, "6", "old"}, {clone, "5", "old"}, {clone, "6", "clone"}} {
		if got, err := c.db.Get(t.Context(), []byte(c.key)); err != nil || string(got) != c.want {
			t.Errorf("%s = %q, %v, want %q", c.key, got, err, c.want)
		}
	}
	if full, _ := clone.Full(); full {
		t.Error("full without being told so")
	}
	clone.SetFull(true)
	if full, why := clone.Full(); !full || why == "" {
		t.Error("not full although it was told to be")
	}
}

func BenchmarkApply(b *testing.B) {
	db := mem.New()
	for i := range 100_000 {
		if err := db.Apply(b.Context(), &store.Batch{Set: []store.Item{{Key: fmt.Appendf(nil, "%06d", i), Value: []byte("v")}}}); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		if err := db.Apply(b.Context(), &store.Batch{Set: []store.Item{{Key: fmt.Appendf(nil, "%06d", i%100_000), Value: []byte("v")}}}); err != nil {
			b.Fatal(err)
		}
	}
}
