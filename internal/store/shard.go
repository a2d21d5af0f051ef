package store

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
)

// Shard is the number of a part of everything that is owned: runs, shared states, schedules and rate limits. A shard has
// one owner at a time, see [Lease].
type Shard = key.Shard

const (
	// Shards is the number of shards. It is fixed: the keys of a database depend on it.
	Shards = key.Shards
	// ShardOfCaps is reserved for the caps of all modules and keys. It has a lease, but no rows yet.
	ShardOfCaps = key.ShardOfCaps
)

// AllShards returns all shards but [ShardOfCaps].
func AllShards() []Shard {
	all := make([]Shard, Shards)
	for i := range all {
		all[i] = Shard(i)
	}
	return all
}

// ShardOf returns the shard of a run. All runs of a family are in the same one: order-7.3.1 is where order-7 is.
func ShardOf(run string) Shard { return key.ShardOf(run) }

// Kind is a kind of things that are owned under a name.
type Kind = key.Kind

// The kinds of [ShardOfName].
const (
	KindState    = key.KindState
	KindSchedule = key.KindSchedule
	KindHost     = key.KindHost // the rate limit of a host
)

// ShardOfName returns the shard of a shared state, a schedule or the rate limit of a host.
func ShardOfName(k Kind, name string) Shard { return key.ShardOfName(k, name) }

// ranges returns the ranges of a family in some shards, in the order of the shards. Shards that follow each other share
// one range.
func ranges(f key.Family, shards []Shard) (all []Range) {
	shards = withRows(shards)
	for i, sh := range shards {
		r := withPrefix(f.Key().Shard(sh))
		if i > 0 && sh == shards[i-1]+1 {
			all[len(all)-1].To = r.To
		} else {
			all = append(all, r)
		}
	}
	return all
}

// withRows returns the shards that can have rows, each once and in order.
func withRows(shards []Shard) []Shard {
	shards = slices.Compact(slices.Sorted(slices.Values(shards)))
	i, _ := slices.BinarySearch(shards, ShardOfCaps)
	return shards[:i]
}

// perShard yields the items of a family in some shards, in the order of their keys. Each range is a snapshot of its own.
func (s *Store) perShard(ctx context.Context, f key.Family, shards []Shard) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for _, r := range ranges(f, shards) {
			for item, err := range s.kv.Scan(ctx, r) {
				if !yield(item, err) || err != nil {
					return
				}
			}
		}
	}
}

// oneByOne is how many shards are looked for one after another, each from the end of the last one. A small store has
// rows in few shards, and this finds them with few scans. The scans of the others begin concurrently, because each may
// wait for a sync of the database.
const oneByOne = 8

// merged yields the items of a family in some shards, in the order of what follows the shard in their keys, from one such
// part (inclusive) until another (exclusive; nil is the end). The snapshots of the shards may be of different moments.
func (s *Store) mergedShards(ctx context.Context, f key.Family, shards []Shard, from, to key.Key) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var heads shardHeads
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		var err error
		if heads, err = s.shardHeads(ctx, f, shards, from, to); err != nil {
			yield(Item{}, err)
			return
		}
		heap.Init(&heads)
		for len(heads) > 0 {
			h := heads[0]
			if !yield(h.item, nil) {
				return
			}
			if more, err := h.advance(); err != nil {
				yield(Item{}, err)
				return
			} else if !more {
				h.stop()
				heap.Pop(&heads)
				continue
			}
			heap.Fix(&heads, 0)
		}
	}
}

// shardHeads returns scans of all shards that have items, each at its first one. The caller stops them, also after an
// error.
func (s *Store) shardHeads(ctx context.Context, f key.Family, shards []Shard, from, to key.Key) (heads shardHeads, err error) {
	shards = withRows(shards)
	for len(shards) > 0 && len(heads) < oneByOne {
		next, has, err := s.seek(ctx, f, shards[0], from, to)
		if err != nil {
			return heads, err
		}
		if has {
			h := s.shardHead(ctx, f, shards[0], from, to)
			if more, err := h.advance(); err != nil || !more {
				h.stop()
				if err != nil {
					return heads, err
				}
			} else {
				heads = append(heads, h)
			}
		}
		i, _ := slices.BinarySearch(shards, next)
		shards = shards[i:]
	}
	rest := make([]*shardHead, len(shards))
	var begun errgroup.Group
	begun.SetLimit(64)
	for i, sh := range shards {
		begun.Go(func() error {
			rest[i] = s.shardHead(ctx, f, sh, from, to)
			_, err := rest[i].advance()
			return err
		})
	}
	err = begun.Wait()
	for _, h := range rest {
		if h.item.Key == nil {
			h.stop()
			continue
		}
		heads = append(heads, h)
	}
	return heads, err
}

// seek reports whether a shard has items, and returns the next shard that may have some.
func (s *Store) seek(ctx context.Context, f key.Family, sh Shard, from, to key.Key) (next Shard, has bool, err error) {
	r := withPrefix(f.Key())
	r.From, r.Limit = append(f.Key().Shard(sh), from...), 1
	for item, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return 0, false, err
		}
		if at := key.ShardIn(item.Key); at != sh {
			return at, false, nil
		}
		return sh + 1, to == nil || bytes.Compare(key.AfterShard(item.Key), to) < 0, nil
	}
	return Shards, false, nil
}

// shardHead is a scan of the items of a family in one shard.
type shardHead struct {
	next func() (Item, error, bool)
	stop func()
	item Item // the current one, without a key at the end
}

// shardHead returns a scan that has not begun.
func (s *Store) shardHead(ctx context.Context, f key.Family, sh Shard, from, to key.Key) *shardHead {
	r := withPrefix(f.Key().Shard(sh))
	r.From = append(f.Key().Shard(sh), from...)
	if to != nil {
		r.To = append(f.Key().Shard(sh), to...)
	}
	h := &shardHead{}
	h.next, h.stop = iter.Pull2(s.kv.Scan(ctx, r))
	return h
}

func (h *shardHead) advance() (more bool, err error) {
	item, err, ok := h.next()
	h.item = Item{}
	if ok && err == nil {
		h.item = item
	}
	return ok && err == nil, err
}

// shardHeads is a heap ordered by what follows the shard in the keys.
type shardHeads []*shardHead

func (h shardHeads) Len() int { return len(h) }
func (h shardHeads) Less(i, j int) bool {
	return bytes.Compare(key.AfterShard(h[i].item.Key), key.AfterShard(h[j].item.Key)) < 0
}
func (h shardHeads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *shardHeads) Push(x any)   { *h = append(*h, x.(*shardHead)) }
func (h *shardHeads) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// ElsewhereError says that another server owns a shard. It is a [flawless.Elsewhere].
type ElsewhereError struct{ Shard Shard }

// Error says which shard it is.
func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("another server owns shard %d, which it belongs to; send the request to that server: %v", e.Shard, flawless.Elsewhere)
}

// Unwrap returns [flawless.Elsewhere].
func (e *ElsewhereError) Unwrap() error { return flawless.Elsewhere }
