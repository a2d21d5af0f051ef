package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestIdentityPersists when a store is reopened, and changes when a copy is accepted.
func TestIdentityPersists(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	open := func() *store.Store {
		s, err := store.Open(t.Context(), kv)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	first := s.Identity()
	if first.ID == "" || first.Origin != "" || first.Holding {
		t.Fatalf("a new store has identity %+v", first)
	}
	if s = open(); s.Identity().ID != first.ID {
		t.Errorf("the reopened store has identity %+v", s.Identity())
	}
	if err := s.Adopt(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	second := open().Identity()
	if second.ID == first.ID || second.Origin != first.ID || second.Accepted == nil || !second.Holding {
		t.Errorf("the copy has identity %+v", second)
	}
	s = open()
	l, err := s.Claim(t.Context(), "me")
	if err != nil {
		t.Fatal(err)
	}
	current, err := s.Claim(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Held(t.Context(), l); !errors.Is(err, flawless.Fenced) {
		t.Errorf("an owner whose lease is over: %v", err)
	}
	if last, err := s.LastEpoch(t.Context()); err != nil || last != 2 {
		t.Fatalf("the last epoch is %d, %v", last, err)
	}
	if err := s.Held(t.Context(), current); err != nil || open().Identity().Holding {
		t.Errorf("after all runs were held: %+v, %v", open().Identity(), err)
	}
}
