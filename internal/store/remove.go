package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/flawless-engine/flawless"
)

const (
	familyGone    family = 'K'
	familyRemoval family = 'D'
)

func keyGone(id string) key    { return key(nil).family(familyGone).text(id) }
func keyRemoval(id string) key { return key(nil).family(familyRemoval).text(id) }

// mostDeleted is how many records of logs one batch removes.
const mostDeleted = 2000

// Gone is what is left of a run that was removed and had its caller's own key.
type Gone struct {
	Run   flawless.Run `cbor:"1,keyasint"` // as it ended, without output
	Input []byte       `cbor:"2,keyasint"` // SHA-256 of its canonical input
}

// SameInput tells whether the run was started with this input (JSON).
func (g *Gone) SameInput(input []byte) bool { return slices.Equal(g.Input, inputSum(input)) }

// inputSum is the same for texts that are the same JSON.
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

// Gone returns what is left of a run that was removed, or [flawless.NotFound].
func (s *Store) Gone(ctx context.Context, id string) (Gone, error) {
	var g Gone
	return g, s.get(ctx, keyGone(id), &g, "trace of run %s", id)
}

// Remove removes a run that has ended, with its log, its data and its places in lists. keyed leaves a
// trace by which its id is not given to another run. It returns [flawless.Conflict] for a run that is
// open, has calls under way or changes meanwhile, [flawless.NotFound] where there is none, [flawless.Fenced] where l is
// not the lease that holds; nothing has changed then. After a crash in the middle the run is there
// whole, or gone; what is left of its log is removed by [Store.FinishRemovals].
func (s *Store) Remove(ctx context.Context, l Lease, id string, keyed bool) error {
	if err := s.remove(ctx, l, id, keyed); err != nil {
		return fmt.Errorf("removing run %s: %w", id, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, l Lease, id string, keyed bool) error {
	value, err := s.kv.Get(ctx, keyHead(id))
	if err != nil {
		return reading(keyHead(id), err, "run %s", id)
	}
	var h Head
	if err := s.codec.Decode(value, &h); err != nil {
		return err
	}
	if !h.Run.Status.Ended() || h.Active || h.Wake != 0 {
		return fmt.Errorf("it is %s, or calls of it are under way: %w", h.Run.Status, flawless.Conflict)
	}
	records, err := s.recordKeys(ctx, id)
	if err != nil {
		return err
	}
	more := len(records) == mostDeleted
	err = s.under(ctx, l, func(d *draft) error {
		d.batch.Expect = append(d.batch.Expect, Item{keyHead(id), value})
		d.delete(keyHead(id))
		d.delete(keyData(id))
		d.delete(keyImage(id))
		d.unlist(id, &h)
		d.batch.Delete = append(d.batch.Delete, records...)
		if keyed {
			input, err := s.input(ctx, id)
			if err != nil {
				return err
			}
			if err := d.set(s.codec, keyGone(id), &Gone{h.Run, input}); err != nil {
				return err
			}
		}
		if more {
			return d.setRaw(s.codec, keyRemoval(id), nil)
		}
		return nil
	})
	if err != nil || !more {
		return err
	}
	return s.finishRemoval(ctx, l, id)
}

// input returns the sum of the input that a run was started with.
func (s *Store) input(ctx context.Context, id string) ([]byte, error) {
	for rec, err := range s.Log(ctx, id, 0) {
		if errors.Is(err, flawless.Damaged) {
			break // then nobody can ask for the same run
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

// unlist takes a run out of all lists.
func (d *draft) unlist(id string, h *Head) {
	for _, row := range rows {
		if row.has(h) {
			d.delete(row.key(d.key(row.family), h).text(id))
		}
	}
	for name, value := range h.Run.Labels {
		d.delete(keyLabel(d.key(familyLabel), name, value, h).text(id))
	}
}

// recordKeys returns the keys of the first records of a run, at most mostDeleted.
func (s *Store) recordKeys(ctx context.Context, id string) (keys [][]byte, err error) {
	r := keyRecords(id).all()
	r.Limit = mostDeleted
	for item, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, slices.Clone(item.Key))
	}
	return keys, nil
}

// FinishRemovals removes what is left of the logs of runs whose removal was cut short. It returns
// [flawless.Fenced] where l is not the lease that holds. After a crash in the middle it is to be called
// again.
func (s *Store) FinishRemovals(ctx context.Context, l Lease) error {
	var ids []string
	for item, err := range s.kv.Scan(ctx, key(nil).family(familyRemoval).all()) {
		if err != nil {
			return fmt.Errorf("looking for removals that were cut short: %w", err)
		}
		p := parts{rest: item.Key}
		p.skip(1)
		ids = append(ids, p.text())
	}
	for _, id := range ids {
		if err := s.finishRemoval(ctx, l, id); err != nil {
			return fmt.Errorf("removing run %s: %w", id, err)
		}
	}
	return nil
}

func (s *Store) finishRemoval(ctx context.Context, l Lease, id string) error {
	if _, err := s.kv.Get(ctx, keyHead(id)); err == nil { // the id has a new run
		return s.under(ctx, l, func(d *draft) error { d.delete(keyRemoval(id)); return nil })
	} else if !errors.Is(err, flawless.NotFound) {
		return err
	}
	for {
		records, err := s.recordKeys(ctx, id)
		if err != nil {
			return err
		}
		last := len(records) < mostDeleted
		if last {
			records = append(records, keyRemoval(id))
		}
		err = s.under(ctx, l, func(d *draft) error {
			d.absent(keyHead(id))
			d.batch.Delete = append(d.batch.Delete, records...)
			return nil
		})
		if err != nil || last {
			return err
		}
	}
}
