package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/flawless-engine/flawless"
)

// State is a value that runs share, and who holds it.
type State struct {
	Value  []byte          `cbor:"1,keyasint,omitempty"`
	Holder *flawless.Claim `cbor:"2,keyasint,omitempty"`
}

// PutState keeps a state; one without value and holder is removed. It returns [flawless.Fenced] where
// l is not the lease that holds. A crash in the middle leaves the old one or the new.
func (s *Store) PutState(ctx context.Context, l Lease, name string, st State) error {
	err := s.under(ctx, l, func(d *draft) error {
		if len(st.Value) == 0 && st.Holder == nil {
			d.delete(keyState(name))
			return nil
		}
		return d.set(s.codec, keyState(name), &st)
	})
	if err != nil {
		return fmt.Errorf("writing state %s: %w", name, err)
	}
	return nil
}

// State returns a state; one that nobody has set is empty.
func (s *Store) State(ctx context.Context, name string) (st State, err error) {
	err = s.get(ctx, keyState(name), &st, "state %s", name)
	if errors.Is(err, flawless.NotFound) {
		return State{}, nil
	}
	return st, err
}

// States yields the names of the states there are, in order, from one on (inclusive), as they were at
// one moment. After an error it yields nothing more.
func (s *Store) States(ctx context.Context, from string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		r := key(nil).family(familyState).all()
		if from != "" {
			r.From = keyState(from)
		}
		for item, err := range s.kv.Scan(ctx, r) {
			name := ""
			if err == nil {
				p := parts{rest: item.Key}
				p.skip(1)
				name = p.text()
				err = p.whole(item.Key)
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
