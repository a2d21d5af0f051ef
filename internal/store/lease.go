package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// Lease is the right of one owner to write what belongs to some shards. Each shard has a row with its owner and an epoch,
// which grows whenever the shard is claimed. A write expects the row of its shard, so the claim of another owner ends the
// writes of the former one. Every write needs a lease, except those of the format number, the first identity, the
// rows of nodes, the history and the leases themselves. Reading needs none.
//
// All methods may be called concurrently.
type Lease struct {
	owner  string
	term   Term                                 // nil is always valid
	rows   [Shards + 1]atomic.Pointer[leaseRow] // nil for a shard that it does not own
	unseen [Shards + 1]atomic.Bool              // see Unseen
	onLost atomic.Pointer[func(Shard)]
}

// leaseRow is the row of a shard as its owner has written it.
type leaseRow struct {
	owner  string
	epoch  uint64
	unseen bool
	item   Item
}

// leaseValue is the value of a lease row.
type leaseValue struct {
	Owner string `cbor:"1,keyasint"`
	Epoch uint64 `cbor:"2,keyasint"`
	// Unseen says that an owner before was not seen to stop, see Lease.Unseen.
	Unseen bool `cbor:"3,keyasint,omitempty"`
}

// Term says until when the owner of a lease may act.
type Term interface {
	// Valid reports whether the owner may act now. It is called for every write.
	Valid() bool
	// Await waits until the owner may act again. It returns nil then, or an error when ctx ends, or when the owner may
	// never act again because another one may have taken over.
	Await(ctx context.Context) error
}

// NewLease returns a lease of no shards. See [Store.Extend]. While term is not valid, the lease owns nothing, and writes
// under it wait; when it is over for good, the lease loses all shards. nil is always valid.
func NewLease(owner string, term Term) *Lease { return &Lease{owner: owner, term: term} }

// Owner returns the name of the owner.
func (l *Lease) Owner() string { return l.owner }

// Owns reports whether the lease has a shard and its owner may act, as far as that is known here: another owner may have
// claimed the shard since the last write.
func (l *Lease) Owns(sh Shard) bool { return l.row(sh) != nil }

// Epoch returns the epoch of a shard, or 0 if the lease does not have it.
func (l *Lease) Epoch(sh Shard) uint64 {
	if row := l.row(sh); row != nil {
		return row.epoch
	}
	return 0
}

// LastEpoch returns the highest epoch of its shards, or 0 if it has none.
func (l *Lease) LastEpoch() (last uint64) {
	for i := range l.rows {
		last = max(last, l.Epoch(Shard(i)))
	}
	return last
}

// Unseen reports whether an owner before this one was not seen to stop: it may still send what it has begun, and learn
// what becomes of it. The store says so, too, until the shard is given up after Settled.
func (l *Lease) Unseen(sh Shard) bool { return l.unseen[sh].Load() }

// Settled notes that the logs in shards say by now which calls an owner has begun that was not seen to stop, so Unseen
// is of no use for the next owner.
func (l *Lease) Settled(shards ...Shard) {
	for _, sh := range shards {
		l.unseen[sh].Store(false)
	}
}

// Lingers notes that something may still be sent for a shard after it is given up.
func (l *Lease) Lingers(sh Shard) { l.unseen[sh].Store(true) }

// Owned returns the shards that the lease has, in order, without [ShardOfCaps], also while its owner may not act.
func (l *Lease) Owned() (owned []Shard) {
	for sh := range Shard(Shards) {
		if l.Has(sh) {
			owned = append(owned, sh)
		}
	}
	return owned
}

// Has reports whether the lease has a shard, also while its owner may not act.
func (l *Lease) Has(sh Shard) bool { return int(sh) < len(l.rows) && l.rows[sh].Load() != nil }

// Await waits while the owner may not act, and reports whether the lease owns a shard then. It returns false when ctx ends.
func (l *Lease) Await(ctx context.Context, sh Shard) bool {
	row, err := l.await(ctx, sh)
	return err == nil && row != nil
}

// await returns the row of a shard, nil if the lease does not have it, or the error of ctx if that ends while the owner
// may not act. If the owner may never act again, all shards are lost.
func (l *Lease) await(ctx context.Context, sh Shard) (*leaseRow, error) {
	for l.Has(sh) && l.term != nil && !l.term.Valid() {
		if err := l.term.Await(ctx); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			for i := range l.rows {
				l.lose(Shard(i), l.rows[i].Load())
			}
		}
	}
	return l.row(sh), nil
}

// OnLost sets a function that is called when a write finds that another owner has claimed a shard: once for each such
// shard, after Owns has become false, and before that write returns. It must not wait for a write.
func (l *Lease) OnLost(lost func(Shard)) { l.onLost.Store(&lost) }

// Drop gives shards up. Writes to them return [flawless.Fenced] from now on. The store does not change: their next owner
// claims them. The caller makes sure that no write to them is running.
func (l *Lease) Drop(shards ...Shard) {
	for _, sh := range shards {
		l.rows[sh].Store(nil)
	}
}

func (l *Lease) row(sh Shard) *leaseRow {
	if int(sh) >= len(l.rows) || l.term != nil && !l.term.Valid() {
		return nil
	}
	return l.rows[sh].Load()
}

// lose notes that the row of a shard is no longer in the store, unless the lease has another one by now.
func (l *Lease) lose(sh Shard, row *leaseRow) {
	if row != nil && l.rows[sh].CompareAndSwap(row, nil) {
		if f := l.onLost.Load(); f != nil {
			(*f)(sh)
		}
	}
}

// any returns a shard that the lease has.
func (l *Lease) any() (Shard, bool) {
	for i := range l.rows {
		if l.rows[i].Load() != nil {
			return Shard(i), true
		}
	}
	return 0, false
}

// Claim takes over shards from any other owner, in one write, and returns a lease of them. Without shards it claims all,
// with [ShardOfCaps]. As soon as it returns, writes to these shards under older leases return [flawless.Fenced]. A crash
// in the middle leaves all of them with their previous owners, or with this one, who must then claim them again.
func (s *Store) Claim(ctx context.Context, owner string, shards ...Shard) (*Lease, error) {
	if len(shards) == 0 {
		shards = append(AllShards(), ShardOfCaps)
	}
	l := NewLease(owner, nil)
	return l, s.Extend(ctx, l, shards...)
}

// Claims claims shards for a lease, and returns those that it has got.
type Claims func(ctx context.Context, s *Store, l *Lease) ([]Shard, error)

// ByForce claims shards that the lease does not have, also from other owners.
func ByForce(shards ...Shard) Claims {
	return func(ctx context.Context, s *Store, l *Lease) ([]Shard, error) {
		others := slices.DeleteFunc(slices.Clone(shards), l.Owns)
		if len(others) == 0 {
			return nil, nil
		}
		return others, s.Extend(ctx, l, others...)
	}
}

// Extend claims more shards for a lease, as [Store.Claim] does.
func (s *Store) Extend(ctx context.Context, l *Lease, shards ...Shard) error {
	for {
		err := s.claim(ctx, l, shards)
		if err == nil {
			return nil
		}
		if !errors.Is(err, flawless.Fenced) { // else somebody else has claimed some of them meanwhile
			return fmt.Errorf("claiming shards for %s: %w", l.owner, err)
		}
	}
}

func (s *Store) claim(ctx context.Context, l *Lease, shards []Shard) error {
	stored, err := s.leaseRows(ctx)
	if err != nil {
		return err
	}
	return s.claimRows(ctx, l, &stored, shards, stopped, nil)
}

// Whether the owner of a shard has stopped, as claimRows is told.
func stopped(leaseRow) bool { return true }
func running(leaseRow) bool { return false }

// ClaimAbove makes all claims get epochs above this one, even if the store has lost the claims with lower ones.
func (s *Store) ClaimAbove(epoch uint64) { s.floor.Store(epoch) }

// RememberClaims has c remember the claims of other nodes. When this store claims a shard and the database has lost a claim of
// another node, that is noted in the history: calls of that node may be lost, too, and the node may be missing altogether.
func (s *Store) RememberClaims(c *Rivals) { s.rivals.Store(c) }

// claimRows claims shards whose rows are as they were read, and marks the node that they are taken from as dead; nil is none.
// ended says whether their owners were seen to stop. It returns [flawless.Fenced] if a row has changed.
func (s *Store) claimRows(ctx context.Context, l *Lease, stored *[Shards + 1]leaseRow, shards []Shard, ended func(leaseRow) bool, dead *flawless.Node) error {
	d := s.draft()
	defer s.release(d)
	rows := map[Shard]*leaseRow{}
	values := map[leaseValue][]byte{} // most shards have the same one
	remembered := s.rivals.Load()
	var lost []Shard // other servers had claimed them, and the database does not know it any more
	for _, sh := range shards {
		if sh > ShardOfCaps {
			return fmt.Errorf("there is no shard %d: %w", sh, flawless.Invalid)
		}
		if rows[sh] != nil {
			continue
		}
		old := stored[sh]
		seen := remembered.Seen(int(sh))
		if sh != ShardOfCaps && kv.Reached(old.owner, old.epoch) < seen {
			lost = append(lost, sh)
		}
		row := &leaseRow{owner: l.owner, epoch: max(old.epoch, s.floor.Load(), seen/2) + 1, unseen: old.unseen || !ended(old)}
		v := leaseValue{l.owner, row.epoch, row.unseen}
		if values[v] == nil {
			var b bytes.Buffer
			if err := s.codec.Encode(&b, v); err != nil {
				return err
			}
			values[v] = b.Bytes()
		}
		row.item = Item{Key: key.OfLease(sh), Value: values[v]}
		d.batch.Expect = append(d.batch.Expect, Item{Key: row.item.Key, Value: old.item.Value})
		d.batch.Set = append(d.batch.Set, Item{Key: bytes.Clone(row.item.Key), Value: bytes.Clone(row.item.Value)}) // databases need not keep them unchanged
		rows[sh] = row
	}
	if err := s.noteClaim(ctx, d, dead, shards, lost); err != nil {
		return err
	}
	if err := s.kv.Apply(ctx, &d.batch); err != nil {
		return err
	}
	for sh, row := range rows {
		l.unseen[sh].Store(row.unseen)
		l.rows[sh].Store(row)
	}
	return nil
}

// leaseRows returns the rows of all shards as the store has them.
func (s *Store) leaseRows(ctx context.Context) (rows [Shards + 1]leaseRow, err error) {
	var last leaseRow // most rows are equal
	for item, err := range s.kv.Scan(ctx, withPrefix(key.Lease.Key())) {
		if err != nil {
			return rows, fmt.Errorf("reading the leases: %w", err)
		}
		sh, err := key.ShardOfLease(item.Key)
		if err != nil {
			return rows, err
		}
		if int(sh) >= len(rows) {
			return rows, fmt.Errorf("key %q is the lease of a shard that does not exist: %w", item.Key, flawless.Damaged)
		}
		if !bytes.Equal(last.item.Value, item.Value) {
			var v leaseValue
			if err := s.codec.Decode(item.Value, &v); err != nil {
				return rows, reading(item.Key, err, "the lease of shard %d", sh)
			}
			last = leaseRow{owner: v.Owner, epoch: v.Epoch, unseen: v.Unseen, item: Item{Value: bytes.Clone(item.Value)}}
		}
		rows[sh] = last
	}
	c := s.rivals.Load()
	for sh, row := range rows {
		c.See(sh, row.owner, row.epoch)
	}
	return rows, nil
}

// LastEpoch returns the highest epoch of any shard, or 0 if none has ever been claimed. It grows with each start of a
// server that claims all shards.
func (s *Store) LastEpoch(ctx context.Context) (last uint64, err error) {
	rows, err := s.leaseRows(ctx)
	for _, row := range rows {
		last = max(last, row.epoch)
	}
	return last, err
}

// Confirm reads which of its shards a lease still has. It loses the others, as a write to them would find out.
func (s *Store) Confirm(ctx context.Context, l *Lease) error {
	_, err := s.confirm(ctx, l)
	return err
}

// confirm is Confirm. It returns the rows in the store.
func (s *Store) confirm(ctx context.Context, l *Lease) (now [Shards + 1]leaseRow, err error) {
	var own [Shards + 1]*leaseRow // as they were before the store is read
	for i := range own {
		own[i] = l.rows[i].Load()
	}
	if now, err = s.leaseRows(ctx); err != nil {
		return now, err
	}
	for i, row := range own {
		if row != nil && !bytes.Equal(now[i].item.Value, row.item.Value) {
			l.lose(Shard(i), row)
		}
	}
	return now, nil
}

// under builds a batch that changes something of a shard, and applies it as the owner of that shard. If an expectation
// does not hold, it changes nothing, and returns [flawless.Fenced] if l does not own the shard, otherwise
// [flawless.Conflict].
func (s *Store) under(ctx context.Context, l *Lease, sh Shard, build func(d *draft) error) error {
	_, err := s.underAt(ctx, l, sh, build)
	return err
}

// underAt is under that returns the position of the batch.
func (s *Store) underAt(ctx context.Context, l *Lease, sh Shard, build func(d *draft) error) (at Position, err error) {
	row, err := l.await(ctx, sh)
	if err != nil {
		return at, fmt.Errorf("%s may not write now: %w", l.owner, err)
	}
	if row == nil {
		return at, fmt.Errorf("%s does not own shard %d: %w", l.owner, sh, flawless.Fenced)
	}
	d := s.draft()
	defer func() {
		if d.slot != nil {
			d.slot.End(err)
			d.slot = nil
		}
		s.release(d)
	}()
	d.batch.Expect, d.epoch = append(d.batch.Expect, row.item), row.epoch
	if err := build(d); err != nil {
		return at, err
	}
	at, err = s.kv.ApplyAt(ctx, &d.batch)
	if errors.Is(err, flawless.Fenced) {
		err = s.fenced(ctx, l, sh, row)
	}
	return at, err
}

// underAny is under for what belongs to no shard: l must own any. build may be called several times.
func (s *Store) underAny(ctx context.Context, l *Lease, build func(d *draft) error) error {
	for {
		sh, ok := l.any()
		if !ok {
			// Another server that owns some can do it, such as the one that has this shard.
			return fmt.Errorf("%s does not own any shard: %w: %w", l.owner, flawless.Fenced, &ElsewhereError{ShardOfCaps})
		}
		err := s.under(ctx, l, sh, build)
		if !errors.Is(err, flawless.Fenced) {
			return err
		} // else this shard has been lost, and another one may be left
	}
}

// fenced finds out why a batch was refused that expected a row of l. If it was because of that row, l loses the shard,
// and all others that have been claimed since.
func (s *Store) fenced(ctx context.Context, l *Lease, sh Shard, row *leaseRow) error {
	value, err := s.kv.Get(ctx, row.item.Key)
	switch {
	case err != nil && !errors.Is(err, flawless.NotFound):
		return err
	case bytes.Equal(value, row.item.Value):
		return fmt.Errorf("it has changed meanwhile: %w", flawless.Conflict)
	}
	now, err := s.confirm(ctx, l)
	if err != nil {
		return err
	}
	l.lose(sh, row)
	return fmt.Errorf("the lease of %s for shard %d with epoch %d is over; the current epoch is %d: %w", l.owner, sh, row.epoch, now[sh].epoch, flawless.Fenced)
}
