package engine

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/codec"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// onMesh opens engines that ask each other. The first one owns the even shards, the second one the odd ones, and the third
// one no run.
func onMesh(t *testing.T, n int) []*Engine {
	t.Helper()
	kv := mem.New()
	st, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	even, odd := halves()
	m := newMesh(st)
	var all []*Engine
	for i := range n {
		claim := store.ByForce()
		switch i {
		case 0:
			claim = store.ByForce(even...)
		case 1:
			claim = store.ByForce(odd...)
		case 2:
			claim = store.ByForce(store.ShardOfCaps) // so that it may write
		}
		e := open(t, kv, Options{Owner: fmt.Sprint("node", i), Claim: claim, Peers: m, Valid: func() bool { return true }, Kinds: echoing(nil)})
		m.add(e)
		all = append(all, e)
	}
	return all
}

// TestUpgradeMovesRunsOfAllServers is asked for at one that owns some of them, and at one that owns none.
func TestUpgradeMovesRunsOfAllServers(t *testing.T) {
	fixed, other := edition(t, "fixed"), edition(t, "other")
	inVirtualTime(t, func(t *testing.T) {
		all := onMesh(t, 3)
		even, odd := halves()
		here, there := nameIn(even, store.ShardOf, "here"), nameIn(odd, store.ShardOf, "there")
		asleep(t, all[0], here, 1)
		asleep(t, all[1], there, 1)
		addEdition(t, all[0], fixed)
		if u := mustUpgrade(t, all[0], Upgrade{AllOrNothing: true}); u.Moved != 2 {
			t.Errorf("the report is %+v", u)
		}
		if u := mustUpgrade(t, all[2], Upgrade{}); u.Moved != 0 || u.Already != 2 {
			t.Errorf("at another server: %+v", u)
		}
		addEdition(t, all[1], other)
		if u := mustUpgrade(t, all[2], Upgrade{}); u.Diverge != 2 || u.Moved != 0 {
			t.Errorf("to code that diverges: %+v", u)
		}
		time.Sleep(48 * time.Hour)
		for i, id := range []string{here, there} {
			mustEnd(t, all[i], id)
		}
		for _, e := range all {
			if n := e.seizer.Count(); n > 0 {
				t.Errorf("%d runs are still held", n)
			}
			wantNothingLeft(t, e)
			e.Kill()
		}
	})
}

// TestHoldOfAServerThatStoppedEnds: the run goes on, and is not moved any more.
func TestHoldOfAServerThatStoppedEnds(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		all := onMesh(t, 3)
		_, odd := halves()
		id := nameIn(odd, store.ShardOf, "run")
		mustStart(t, all[1], "want", ops(receives()), id)
		synctest.Wait()
		r, err := all[2].seizer.Seize(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, all[1], id, "go", "1")
		time.Sleep(5 * time.Minute)
		if r, err := all[1].Run(t.Context(), id); err != nil || r.Status.Ended() {
			t.Errorf("while it is held it is %s, %v", r.Status, err)
		}
		all[2].Kill()
		time.Sleep(time.Minute) // longer than it stays held
		mustComplete(t, all[1], id, `"done"`)
		if err := r.Move(flawless.Upgrade{Digest: "x"}); err == nil {
			t.Error("a run was moved that was not held any more")
		}
		if _, err := all[1].Serve(context.Background(), "move run", encoded(t, map[int]any{1: id, 2: "x", 3: flawless.Upgrade{Digest: "x"}})); flawless.CodeOf(err) != flawless.Conflict {
			t.Errorf("moving a run that is not held: %v", err)
		}
		all[0].Kill()
		all[1].Kill()
	})
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	c, err := codec.New()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Encode(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
