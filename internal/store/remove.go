package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// maxDeleted is the maximum number of log records that one batch removes.
const maxDeleted = 2000

// Gone is the trace of a removed run whose id was chosen by its caller.
type Gone struct {
	Run   flawless.Run `cbor:"1,keyasint"` // without output
	Input []byte       `cbor:"2,keyasint"` // SHA-256 of its canonical input
}

// SameInput reports whether the run was started with this input (JSON).
func (g *Gone) SameInput(input []byte) bool { return slices.Equal(g.Input, inputSum(input)) }

// inputSum returns a checksum that is the same for equal JSON values.
func inputSum(input []byte) []byte {
	var v any
	if len(input) > 0 && json.Unmarshal(input, &v) == nil {
		if b, err := json.Marshal(v); err == nil {
			input = b
		}
	}
	sum := sha256.Sum256(input)
	return sum[:]
}

// Gone returns the trace of a removed run, or [flawless.NotFound].
func (s *Store) Gone(ctx context.Context, id string) (Gone, error) {
	var g Gone
	return g, s.get(ctx, key.Gone.Of(id), &g, "trace of run %s", id)
}

// Remove removes a run that has ended, with its log, its data and its rows in lists. keyed leaves a trace, so that its
// id is never used for another run. It returns [flawless.Conflict] if the run is open, has calls in flight or changes
// meanwhile, [flawless.NotFound] if it does not exist, and [flawless.Fenced] if l does not own its shard; nothing has
// changed then. A crash in the middle leaves the whole run, or only part of its log, which [Store.FinishRemovals]
// removes.
func (s *Store) Remove(ctx context.Context, l *Lease, id string, keyed bool) error {
	if err := s.remove(ctx, l, id, keyed); err != nil {
		return fmt.Errorf("removing run %s: %w", id, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, l *Lease, id string, keyed bool) error {
	value, err := s.kv.Get(ctx, key.Head.Of(id))
	if err != nil {
		return reading(key.Head.Of(id), err, "run %s", id)
	}
	var h Head
	if err := s.codec.Decode(value, &h); err != nil {
		return err
	}
	if !h.Run.Status.Ended() || h.Active || h.Wake != 0 {
		return fmt.Errorf("it is %s, or has calls in flight: %w", h.Run.Status, flawless.Conflict)
	}
	records, err := s.recordKeys(ctx, id)
	if err != nil {
		return err
	}
	more := len(records) == maxDeleted
	sh := ShardOf(id)
	err = s.under(ctx, l, sh, func(d *draft) error {
		d.batch.Expect = append(d.batch.Expect, Item{Key: key.Head.Of(id), Value: value})
		d.delete(key.Head.Of(id))
		d.delete(key.Data.Of(id))
		d.delete(key.Image.Of(id))
		d.unlist(sh, id, &h)
		if err := s.count(ctx, d, sh, &h, nil); err != nil {
			return err
		}
		d.batch.Delete = append(d.batch.Delete, records...)
		if keyed {
			input, err := s.input(ctx, id)
			if err != nil {
				return err
			}
			if err := d.set(s.codec, key.Gone.Of(id), &Gone{h.Run, input}); err != nil {
				return err
			}
		}
		if more {
			return d.setRaw(s.codec, key.Removal.Of(id), nil)
		}
		return nil
	})
	if err != nil || !more {
		return err
	}
	return s.finishRemoval(ctx, l, id)
}

// input returns the checksum of the input of a run.
func (s *Store) input(ctx context.Context, id string) ([]byte, error) {
	for rec, err := range s.Log(ctx, id, 0) {
		if errors.Is(err, flawless.Damaged) {
			break // then no input counts as the same
		}
		if err != nil {
			return nil, err
		}
		if len(rec.Entries) > 0 && rec.Entries[0].Start != nil {
			return inputSum(rec.Entries[0].Start.Input), nil
		}
		break
	}
	return nil, nil
}

// unlist removes a run from all lists.
func (d *draft) unlist(sh Shard, id string, h *Head) {
	for _, row := range rows {
		if row.has(h) {
			d.delete(row.key(d.list(row, sh), h).Text(id))
		}
	}
	for name, value := range h.Run.Labels {
		d.delete(keyLabel(d.key(key.Label), name, value, h).Text(id))
	}
}

// recordKeys returns the keys of the first records of a run, at most maxDeleted.
func (s *Store) recordKeys(ctx context.Context, id string) (keys [][]byte, err error) {
	r := withPrefix(key.Record.Of(id))
	r.Limit = maxDeleted
	for item, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, slices.Clone(item.Key))
	}
	return keys, nil
}

// FinishRemovals removes the rest of the logs of runs in some shards whose removal was interrupted. It returns
// [flawless.Fenced] if l does not own one of the shards. After a crash in the middle, call it again.
func (s *Store) FinishRemovals(ctx context.Context, l *Lease, shards []Shard) error {
	var ids []string
	for item, err := range kv.Shards(ctx, s.kv, key.Removal, shards) {
		if err != nil {
			return fmt.Errorf("looking for interrupted removals: %w", err)
		}
		p := key.SplitOwned(item.Key)
		ids = append(ids, p.Text())
	}
	for _, id := range ids {
		if err := s.finishRemoval(ctx, l, id); err != nil {
			return fmt.Errorf("removing run %s: %w", id, err)
		}
	}
	return nil
}

func (s *Store) finishRemoval(ctx context.Context, l *Lease, id string) error {
	if _, err := s.kv.Get(ctx, key.Head.Of(id)); err == nil { // a new run has the id
		return s.under(ctx, l, ShardOf(id), func(d *draft) error { d.delete(key.Removal.Of(id)); return nil })
	} else if !errors.Is(err, flawless.NotFound) {
		return err
	}
	for {
		records, err := s.recordKeys(ctx, id)
		if err != nil {
			return err
		}
		last := len(records) < maxDeleted
		if last {
			records = append(records, key.Removal.Of(id))
		}
		err = s.under(ctx, l, ShardOf(id), func(d *draft) error {
			d.absent(key.Head.Of(id))
			d.batch.Delete = append(d.batch.Delete, records...)
			return nil
		})
		if err != nil || last {
			return err
		}
	}
}
