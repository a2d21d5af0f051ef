package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

func TestDyingFailsAtNthApply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		when When
		want []string
	}{
		{"before it takes effect", Before, []string{"1=v", "2=v"}},
		{"after it took effect", After, []string{"1=v", "2=v", "3=v"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			below, died := mem.New(), 0
			kv := Dying(below, 3, c.when, func() { died++ })
			var failed []int
			for i := 1; i <= 5; i++ {
				if err := kv.Apply(t.Context(), set(item(fmt.Sprint(i), "v"))); err != nil {
					if !errors.Is(err, ErrDied) {
						t.Error(err)
					}
					failed = append(failed, i)
				}
			}
			same(t, "applies that failed", []int{3, 4, 5}, failed)
			same(t, "calls of the hook", 1, died)
			same(t, "what survived", c.want, pairs(t, below, store.Range{}))
			if _, err := kv.Get(t.Context(), []byte("1")); !errors.Is(err, ErrDied) || !kv.Died() {
				t.Errorf("Get afterwards: %v", err)
			}
			if _, err := list(t.Context(), kv, store.Range{}); !errors.Is(err, ErrDied) {
				t.Errorf("Scan afterwards: %v", err)
			}
		})
	}
}

func TestCountingCountsWrites(t *testing.T) {
	t.Parallel()
	kv := Counting(mem.New())
	for range 7 {
		apply(t, kv, set(item("a", "1")))
	}
	same(t, "calls of Apply", 7, int(kv.Count.Load()))
}
