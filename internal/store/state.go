package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store/key"
	"github.com/flawless-engine/flawless/internal/store/kv"
)

// State is a shared state: its value, and the run that holds it.
type State struct {
	Value  []byte          `cbor:"1,keyasint,omitempty"`
	Holder *flawless.Claim `cbor:"2,keyasint,omitempty"`
}

// PutState stores a state, or removes it if it has no value and no holder. It returns [flawless.Fenced] if l does not own
// its shard. A crash in the middle leaves the old or the new state.
func (s *Store) PutState(ctx context.Context, l *Lease, name string, st State) error {
	err := s.under(ctx, l, ShardOfName(KindState, name), func(d *draft) error {
		if len(st.Value) == 0 && st.Holder == nil {
			d.delete(key.State.Named(KindState, name))
			return nil
		}
		return d.set(s.codec, key.State.Named(KindState, name), &st)
	})
	if err != nil {
		return fmt.Errorf("writing state %s: %w", name, err)
	}
	return nil
}

// State returns a state. A state that does not exist is empty.
func (s *Store) State(ctx context.Context, name string) (st State, err error) {
	err = s.get(ctx, key.State.Named(KindState, name), &st, "state %s", name)
	if errors.Is(err, flawless.NotFound) {
		return State{}, nil
	}
	return st, err
}

// States yields the names of the states in some shards from a name on (inclusive), sorted. A state that
// comes or goes meanwhile may be among them. It stops after an error.
func (s *Store) States(ctx context.Context, from string, shards []Shard) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		first := key.Key(nil)
		if from != "" {
			first = first.Text(from)
		}
		for item, err := range kv.Merged(ctx, s.kv, key.State, shards, first, nil) {
			name := ""
			if err == nil {
				p := key.SplitOwned(item.Key)
				name = p.Text()
				err = p.Whole(item.Key)
			}
			if err != nil {
				yield("", fmt.Errorf("listing states: %w", err))
				return
			}
			if !yield(name, nil) {
				return
			}
		}
	}
}
