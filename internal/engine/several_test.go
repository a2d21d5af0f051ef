package engine

import (
	"fmt"
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// several opens engines on one database that reach each other. Engine i of n owns the shards i, i+n, i+2n and so on; the
// first has the shard of caps.
func several(t *testing.T, n int, o Options) (kv store.KV, m *mesh, all []*Engine) {
	t.Helper()
	fixture()
	kv = mem.New()
	st, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	m = newMesh(st)
	for i := range n {
		all = append(all, joinMesh(t, kv, m, fmt.Sprint("node-", i), o, shareOf(i, n)...))
	}
	if _, _, err := all[0].AddModule(t.Context(), "guest", fixture().bin, nil); err != nil {
		t.Fatal(err)
	}
	return kv, m, all
}

// shareOf returns the shards of engine i of n.
func shareOf(i, n int) (shards []store.Shard) {
	for sh := i; sh < store.Shards; sh += n {
		shards = append(shards, store.Shard(sh))
	}
	if i == 0 {
		shards = append(shards, store.ShardOfCaps)
	}
	return shards
}

// joinMesh opens an engine that claims shards of a database by force, and adds it to a mesh.
func joinMesh(t *testing.T, kv store.KV, m *mesh, name string, o Options, shards ...store.Shard) *Engine {
	t.Helper()
	o.Owner, o.Peers, o.Claim = name, m, store.ByForce(shards...)
	o.Valid = func() bool { return true }
	e, err := reopen(t, kv, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Kill)
	m.add(e)
	return e
}

// idOf returns an id of a run that begins with a prefix and that an engine owns.
func idOf(e *Engine, prefix string) string { return nameIn(e.Shards(), store.ShardOf, prefix) }
