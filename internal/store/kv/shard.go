package kv

import (
	"bytes"
	"container/heap"
	"context"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/flawless-engine/flawless/internal/store/key"
)

// prefixed returns the range of all keys with a prefix.
func prefixed(k key.Key) Range { return Range{From: k, To: k.End()} }

// ranges returns the ranges of a family in some shards, in the order of the shards. Shards that follow each other share
// one range.
func ranges(f key.Family, shards []key.Shard) (all []Range) {
	shards = withRows(shards)
	for i, sh := range shards {
		r := prefixed(f.Key().Shard(sh))
		if i > 0 && sh == shards[i-1]+1 {
			all[len(all)-1].To = r.To
		} else {
			all = append(all, r)
		}
	}
	return all
}

// withRows returns the shards that can have rows, each once and in order.
func withRows(shards []key.Shard) []key.Shard {
	shards = slices.Compact(slices.Sorted(slices.Values(shards)))
	i, _ := slices.BinarySearch(shards, key.ShardOfCaps)
	return shards[:i]
}

// Shards yields the items of a family in some shards, in the order of their keys. Each range is a snapshot of its own.
func Shards(ctx context.Context, db KV, f key.Family, shards []key.Shard) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for _, r := range ranges(f, shards) {
			for item, err := range db.Scan(ctx, r) {
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

// Merged yields the items of a family in some shards, in the order of what follows the shard in their keys, from one such
// part (inclusive) until another (exclusive; nil is the end). The snapshots of the shards may be of different moments.
func Merged(ctx context.Context, db KV, f key.Family, shards []key.Shard, from, to key.Key) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var heads shardHeads
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		var err error
		if heads, err = shardHeadsOf(ctx, db, f, shards, from, to); err != nil {
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

// shardHeadsOf returns scans of all shards that have items, each at its first one. The caller stops them, also after an
// error.
func shardHeadsOf(ctx context.Context, db KV, f key.Family, shards []key.Shard, from, to key.Key) (heads shardHeads, err error) {
	shards = withRows(shards)
	for looked := 0; len(shards) > 0 && looked < oneByOne; looked++ {
		next, has, err := seek(ctx, db, f, shards[0], from, to)
		if err != nil {
			return heads, err
		}
		if has {
			h := shardHeadOf(ctx, db, f, shards[0], from, to)
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
			rest[i] = shardHeadOf(ctx, db, f, sh, from, to)
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
func seek(ctx context.Context, db KV, f key.Family, sh key.Shard, from, to key.Key) (next key.Shard, has bool, err error) {
	r := prefixed(f.Key())
	r.From, r.Limit = append(f.Key().Shard(sh), from...), 1
	for item, err := range db.Scan(ctx, r) {
		if err != nil {
			return 0, false, err
		}
		if at := key.ShardIn(item.Key); at != sh {
			return at, false, nil
		}
		return sh + 1, to == nil || bytes.Compare(key.AfterShard(item.Key), to) < 0, nil
	}
	return key.Shards, false, nil
}

// shardHead is a scan of the items of a family in one shard.
type shardHead struct {
	next func() (Item, error, bool)
	stop func()
	item Item // the current one, without a key at the end
}

// shardHeadOf returns a scan that has not begun.
func shardHeadOf(ctx context.Context, db KV, f key.Family, sh key.Shard, from, to key.Key) *shardHead {
	r := prefixed(f.Key().Shard(sh))
	r.From = append(f.Key().Shard(sh), from...)
	if to != nil {
		r.To = append(f.Key().Shard(sh), to...)
	}
	h := &shardHead{}
	h.next, h.stop = iter.Pull2(db.Scan(ctx, r))
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
