package engine

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// noted notes the rows of sleepers that are read from a KV.
type noted struct {
	store.KV
	mu   sync.Mutex
	rows map[string]bool
}

// note notes a row by its kind and the id of its run.
func (n *noted) note(key []byte) {
	if i := bytes.Index(key, []byte("sleeper-")); i >= 0 {
		n.mu.Lock()
		defer n.mu.Unlock()
		id, _, _ := bytes.Cut(key[i:], []byte{0})
		n.rows[fmt.Sprintf("%c %s", key[0], id)] = true
	}
}

func (n *noted) Get(ctx context.Context, key []byte) ([]byte, error) {
	n.note(key)
	return n.KV.Get(ctx, key)
}

func (n *noted) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		for item, err := range n.KV.Scan(ctx, r) {
			n.note(item.Key)
			if !yield(item, err) {
				return
			}
		}
	}
}

// TestTakeoverReadsOnlyWhatIsDue: of the runs of a shard that sleep, a server that takes them over reads only the timers of
// the next minute, however many there are.
func TestTakeoverReadsOnlyWhatIsDue(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		kv := &noted{KV: mem.New(), rows: map[string]bool{}}
		e := open(t, kv, Options{})
		id := func(prefix string) string { return nameIn([]store.Shard{7}, store.ShardOf, prefix) }
		due := id("sleeper-due")
		mustStart(t, e, "sleep", 2, due)
		time.Sleep(24*time.Hour - 30*time.Second)
		for i := range 20 {
			mustStart(t, e, "sleep", 2, id(fmt.Sprint("sleeper-", i)))
		}
		time.Sleep(10 * time.Second) // until no guest is in memory
		e.Kill()
		first := store.AllShards()[:1]
		other := open(t, kv, Options{Claim: store.ByForce(first...)})
		synctest.Wait()
		clear(kv.rows)
		if err := other.Gain(t.Context(), store.ByForce(store.AllShards()...)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := slices.Sorted(maps.Keys(kv.rows)); !slices.Equal(got, []string{"t " + due}) {
			t.Errorf("it reads %q, want only the timer that is due within a minute", got)
		}
	})
}
