package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
)

// join writes the row of a node.
func join(t *testing.T, s *store.Store, id string) flawless.Node {
	t.Helper()
	return joinWith(t, s, flawless.Node{ID: id, Name: id, Beat: 1})
}

func joinWith(t *testing.T, s *store.Store, n flawless.Node) flawless.Node {
	t.Helper()
	if err := s.PutNode(t.Context(), nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// testTakeOver lets a node take over the shards of one that has stopped, and of one that has not.
func testTakeOver(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	one, two := openStore(t, kv), openStore(t, kv)
	a, b := joinWith(t, one, flawless.Node{ID: "a", Name: "anna", Ring: "ring", Branch: "branch"}), join(t, two, "b")
	la, err := one.Claim(t.Context(), "a", 1, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	lb, err := two.Claim(t.Context(), "b", 4)
	if err != nil {
		t.Fatal(err)
	}
	if free, err := two.ClaimFree(t.Context(), lb, 1, 5); err != nil || len(free) != 1 || free[0] != 5 || lb.Owns(1) {
		t.Errorf("of a shard of a living node and a free one, claiming gives %v, %v", free, err)
	}
	renewed := a
	renewed.Beat++
	if err := one.PutNode(t.Context(), &a, &renewed); err != nil {
		t.Fatal(err)
	}
	code(t, "renewing a lease with an older row", one.PutNode(t.Context(), &a, &renewed), flawless.Fenced)
	before := pairs(t, kv, store.Range{})
	_, err = two.TakeOver(t.Context(), lb, a, false)
	code(t, "taking over from a node that has renewed its lease", err, flawless.Fenced)
	same(t, "the database after that", before, pairs(t, kv, store.Range{}))

	h := head(runIn(2, 0), 1)
	write(t, one, la, store.Write{ID: h.Run.ID, New: true, After: &h, Entries: entries(0)})
	shards, err := two.TakeOver(t.Context(), lb, renewed, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the shards of the dead node", []store.Shard{1, 2, 3}, shards)
	same(t, "the shards of its successor", []store.Shard{1, 2, 3, 4, 5}, lb.Owned())
	history, err := one.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what somebody has to find out", []flawless.HistoryRing{{ID: "ring", Node: "anna", Branch: "branch", State: flawless.RingTaken, Shards: []int{1, 2, 3}}}, history.Rings)
	for sh, unseen := range map[store.Shard]bool{1: true, 2: true, 4: false, 5: false} {
		if lb.Unseen(sh) != unseen {
			t.Errorf("that the owner of shard %d was not seen to stop is %v", sh, !unseen)
		}
	}
	again := renewed
	again.Beat++
	code(t, "a renewal of the dead node", one.PutNode(t.Context(), &renewed, &again), flawless.Fenced)
	code(t, "a write of the dead node", one.Write(t.Context(), la, store.Write{ID: h.Run.ID, Seq: 1, Entries: entries(1)}), flawless.Fenced)
	write(t, two, lb, store.Write{ID: h.Run.ID, Seq: 1, Entries: entries(1)})
	nodes, err := two.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || !nodes[0].Dead || nodes[1].Dead {
		t.Errorf("the nodes are %+v, %v", nodes, err)
	}
	if err := two.PutNode(t.Context(), &b, nil); err != nil { // it leaves, with shards
		t.Fatal(err)
	}
	c := join(t, one, "c")
	lc, err := one.Claim(t.Context(), c.ID, 9)
	if err != nil {
		t.Fatal(err)
	}
	if free, err := one.ClaimFree(t.Context(), lc, 1, 5); err != nil || len(free) != 2 {
		t.Errorf("of the shards of a node that has left, claiming gives %v, %v", free, err)
	}
	if !lc.Unseen(1) || !lc.Unseen(5) {
		t.Error("a node that has left with shards was seen to stop")
	}
	lc.Settled(1)
	if err := one.Free(t.Context(), lc, 1, 5); err != nil {
		t.Fatal(err)
	}
	if free, err := one.ClaimFree(t.Context(), lc, 1, 5); err != nil || len(free) != 2 || lc.Unseen(1) || !lc.Unseen(5) {
		t.Errorf("of shards that were given up, one of them settled, claiming gives %v, %v; not seen to stop is %v and %v", free, err, lc.Unseen(1), lc.Unseen(5))
	}
	_, err = one.TakeOver(t.Context(), lc, b, false)
	code(t, "taking over from a node without a row", err, flawless.Fenced)
}

// testFree lets nodes give up shards and claim them at the same time.
func testFree(t *testing.T, open func(t *testing.T) store.KV) {
	kv := opener(open).opened(t)
	s := openStore(t, kv)
	owner := join(t, s, "owner")
	l, err := s.Claim(t.Context(), owner.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Free(t.Context(), l, 10, 11, 12); err != nil {
		t.Fatal(err)
	}
	if l.Owns(11) || !l.Owns(13) {
		t.Errorf("it now owns %v", l.Owned())
	}
	owners, err := s.Owners(t.Context())
	if err != nil || owners[11] != "" || owners[13] != owner.ID || owners[store.ShardOfCaps] != owner.ID {
		t.Errorf("the owners are %v, %v", owners, err)
	}
	code(t, "giving up what it does not own", s.Free(t.Context(), l, 13, 11), flawless.Fenced)
	if !l.Owns(13) {
		t.Error("it has lost a shard with one that was not its own")
	}
	if _, err := openStore(t, kv).Claim(t.Context(), "thief", 14); err != nil {
		t.Fatal(err)
	}
	code(t, "giving up what was claimed", s.Free(t.Context(), l, 13, 14), flawless.Fenced)
	if !l.Owns(13) || l.Owns(14) {
		t.Errorf("it now owns %v", l.Owned())
	}

	var all sync.WaitGroup
	leases := make([]*store.Lease, 4)
	for i := range leases {
		own := openStore(t, kv)
		n := join(t, own, fmt.Sprint("node-", i))
		if leases[i], err = own.Claim(t.Context(), n.ID, store.Shard(20+i)); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for range 10 {
				if _, err := own.ClaimFree(t.Context(), leases[i], 10, 11, 12); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for sh := store.Shard(10); sh <= 12; sh++ {
		has := 0
		for _, l := range leases {
			if l.Owns(sh) {
				has++
			}
		}
		if has != 1 {
			t.Errorf("shard %d has %d owners", sh, has)
		}
	}
}
