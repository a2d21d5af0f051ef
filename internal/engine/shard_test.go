package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/clock"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/task"
)

// halves returns the even and the odd shards.
func halves() (even, odd []store.Shard) {
	for _, sh := range store.AllShards() {
		if sh%2 == 0 {
			even = append(even, sh)
		} else {
			odd = append(odd, sh)
		}
	}
	return even, odd
}

// nameIn returns a name that begins with a prefix and is in one of some shards.
func nameIn(shards []store.Shard, shardOf func(name string) store.Shard, prefix string) string {
	for n := 0; ; n++ {
		if name := fmt.Sprint(prefix, "-", n); slices.Contains(shards, shardOf(name)) {
			return name
		}
	}
}

func stateShard(name string) store.Shard { return store.ShardOfName(store.KindState, name) }

// rowsOf returns the rows of shards, except their leases.
func rowsOf(t *testing.T, kv store.KV, shards []store.Shard) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for item, err := range kv.Scan(t.Context(), store.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte([]byte("hrdftaGgCKD"), item.Key[0]) >= 0 && slices.Contains(shards, store.Shard(item.Key[1])) {
			rows[string(item.Key)] = string(item.Value)
		}
	}
	return rows
}

// claim takes shards over by force, as another server does.
func claim(t *testing.T, kv store.KV, shards []store.Shard) {
	t.Helper()
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), "another", shards...); err != nil {
		t.Fatal(err)
	}
}

// TestClaimedShardsStop claims half of the shards while runs of both halves are in the middle of turns, calls, sleeps and
// waits. Those of the other half go on to their ends.
func TestClaimedShardsStop(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		even, odd := halves()
		half := map[string][]store.Shard{"kept": even, "taken": odd}
		gate := make(chan struct{})
		var mu sync.Mutex
		seen := map[string]int{}
		kinds := effect.Kinds(effect.Options{})
		for i := range kinds {
			if kinds[i].Name == effect.HTTP {
				kinds[i].Perform = func(ctx context.Context, a effect.Attempt) effect.Result {
					var head struct{ URL string }
					if err := json.Unmarshal(a.Call.Head, &head); err != nil {
						t.Error(err)
					}
					url := head.URL
					mu.Lock()
					seen[url]++
					mu.Unlock()
					if strings.Contains(url, "/held") {
						select {
						case <-gate:
						case <-ctx.Done():
							return effect.Result{Outcome: effect.Unknown, Text: "cut off"}
						}
					}
					answer, _ := effect.ResponseAnswer(a.Call.N, 200, []byte("done"))
					return effect.Result{Outcome: effect.Answered, Answer: answer}
				}
			}
		}
		kv := mem.New()
		e := open(t, kv, Options{Kinds: kinds})
		defer e.Kill()
		ids := map[string]string{}
		begin := func(which, name string, in []op) {
			id := nameIn(half[which], store.ShardOf, which+"-"+name)
			ids[which+" "+name] = id
			if _, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "want", Input: input(t, in), ID: id, Queue: flawless.QueueOptions{Key: which, Limit: 20}}); err != nil {
				t.Fatal(err)
			}
		}
		mine, theirs := nameIn(even, stateShard, "mine"), nameIn(odd, stateShard, "theirs")
		post := func(path string) op { return op{"Post": "http://outside.test/" + path} }
		locks := func(state string, in ...op) op { return op{"State": state, "In": in} }
		for _, which := range []string{"kept", "taken"} {
			begin(which, "holder", ops(locks(mine, receives()))) // those of one half hold it, the others wait
			begin(which, "call", ops(post(which+"/held"), post(which+"/after-call")))
			begin(which, "sleep", ops(sleeps(3_600_000), post(which+"/after-sleep")))
			begin(which, "receive", ops(receives(), post(which+"/after-receive")))
			begin(which, "lock", ops(locks(mine), post(which+"/after-lock")))
			begin(which, "await", ops(awaits(ids[which+" call"]), post(which+"/after-await")))
			begin(which, "parent", ops(spawns(sleeps(7_200_000)), post(which+"/after-child")))
		}
		begin("taken", "theirs", ops(locks(theirs, receives())))
		if _, err := e.Limits().Set(t.Context(), flawless.Limit{Host: "slow.test", Count: 1, PeriodMS: 3_600_000, Burst: 1}); err != nil {
			t.Fatal(err)
		}
		for _, which := range []string{"kept", "kept2", "taken", "taken2"} {
			half[which] = half[strings.TrimSuffix(which, "2")]
			begin(which, "limited", ops(op{"Post": "http://slow.test/" + which}))
		}
		for _, which := range []string{"kept", "taken"} {
			s := flawless.Schedule{Name: nameIn(half[which], func(name string) store.Shard { return store.ShardOfName(store.KindSchedule, name) }, which+"s"), Cron: "0 0 1 1 *", Module: "guest", Workflow: "empty", Input: []byte("1")}
			if _, err := e.Schedules().Set(t.Context(), s, false); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()

		claim(t, kv, odd)
		before := rowsOf(t, kv, odd)
		waited := make(chan error, 1)
		go func() { _, err := e.Wait(context.Background(), ids["taken sleep"]); waited <- err }()
		synctest.Wait()
		// The first write to any of them finds out.
		if _, err := e.Send(t.Context(), ids["taken receive"], flawless.Message{Type: "go", Body: []byte("1")}); flawless.CodeOf(err) != flawless.Elsewhere {
			t.Errorf("a message to a run of another server: %v", err)
		}
		synctest.Wait()
		if err := <-waited; flawless.CodeOf(err) != flawless.Elsewhere {
			t.Errorf("waiting for a run of another server: %v", err)
		}
		if got := e.Shards(); !slices.Equal(got, even) || e.Gone() != nil {
			t.Errorf("it owns %d shards, and gave up the store: %v", len(got), e.Gone())
		}
		for name, id := range ids {
			run, guest := e.runs.InMemory(id)
			if strings.HasPrefix(name, "taken") && (run || guest) {
				t.Errorf("%s is still in memory", name)
			}
			if _, err := e.Run(t.Context(), id); err != nil {
				t.Errorf("reading %s: %v", name, err)
			}
		}
		for what, err := range map[string]error{
			"starting":           started(e, nameIn(odd, store.ShardOf, "new")),
			"cancelling":         second(e.Cancel(t.Context(), ids["taken sleep"], flawless.Cancel{})),
			"following":          followed(e, ids["taken sleep"]),
			"pausing a schedule": second(e.Schedules().Pause(nameIn(odd, func(name string) store.Shard { return store.ShardOfName(store.KindSchedule, name) }, "takens"), "")),
		} {
			if flawless.CodeOf(err) != flawless.Elsewhere {
				t.Errorf("%s: %v", what, err)
			}
		}
		if all := e.Schedules().List(nil); len(all) != 1 || !strings.HasPrefix(all[0].Name, "kept") {
			t.Errorf("its schedules are %+v", all)
		}
		if all := e.Limits().List(); len(all) != 1 { // every server enforces all limits
			t.Errorf("its limits are %+v", all)
		}
		if r, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Input: []byte("1")}); err != nil || store.ShardOf(r.ID)%2 != 0 {
			t.Errorf("a run without an id: %s, %v", r.ID, err)
		}
		close(gate)
		for _, name := range []string{"kept holder", "kept receive"} {
			mustSend(t, e, ids[name], "go", "1")
		}
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		for name, id := range ids {
			r, err := e.Run(t.Context(), id)
			if kept := strings.HasPrefix(name, "kept"); err != nil || kept != (r.Status == flawless.Completed) {
				t.Errorf("%s is %s %+v, %v", name, r.Status, r.Failure, err)
			}
		}
		if after := rowsOf(t, kv, odd); !maps.Equal(before, after) {
			t.Error("something was written to the shards of another server")
		}
		want := map[string]int{"http://slow.test/kept": 1, "http://slow.test/kept2": 1, "http://outside.test/taken/held": 1}
		for _, path := range []string{"held", "after-call", "after-sleep", "after-receive", "after-lock", "after-await", "after-child"} {
			want["http://outside.test/kept/"+path] = 1
		}
		mu.Lock()
		for _, url := range []string{"http://slow.test/taken", "http://slow.test/taken2"} { // one of the four had a permit before
			delete(seen, url)
		}
		if !maps.Equal(seen, want) {
			t.Errorf("the outside saw %v, want %v", seen, want)
		}
		mu.Unlock()
		wantNothingLeft(t, e)

		// Another engine continues what was taken. It learns of the interrupted call, and cannot use the state of the other.
		next := open(t, kv, Options{Kinds: kinds, Claim: store.ByForce(odd...)})
		defer next.Kill()
		time.Sleep(4 * time.Hour)
		if r, err := next.Run(t.Context(), ids["taken call"]); err != nil || r.Status != flawless.Unresolved || len(r.Unresolved) != 1 {
			t.Errorf("the run with an interrupted call is %+v, %v", r, err)
		}
		for _, name := range []string{"taken sleep", "taken parent"} {
			if r := mustEnd(t, next, ids[name]); r.Status != flawless.Completed {
				t.Errorf("%s is %+v", name, r)
			}
		}
		if r, err := next.Run(t.Context(), ids["taken lock"]); err != nil || r.Status.Ended() {
			t.Errorf("the run that waits for a state of another server is %+v, %v", r, err)
		}
		if err := e.Release(t.Context(), e.Shards()...); err != nil {
			t.Errorf("releasing: %v", err)
		}
		if err := next.Gain(t.Context(), store.ByForce(even...)); err != nil {
			t.Fatal(err)
		}
		mustSend(t, next, ids["taken holder"], "go", "1")
		if r := mustEnd(t, next, ids["taken lock"]); r.Status != flawless.Completed {
			t.Errorf("the run that got the state is %+v", r)
		}
		if err := e.Gone(); err != nil {
			t.Errorf("an engine that has released all shards has given up the store: %v", err)
		}
	})
}

func started(e *Engine, id string) error {
	_, _, err := e.Start(context.Background(), Start{Module: "guest", Workflow: "empty", Input: []byte("1"), ID: id})
	return err
}

func followed(e *Engine, id string) (err error) {
	for _, err = range e.Follow(context.Background(), id, 0) {
		if err != nil {
			break
		}
	}
	return err
}

// wantNothingLeft checks that nothing of runs is left in memory that does not belong to an open run.
func wantNothingLeft(t *testing.T, e *Engine) {
	t.Helper()
	synctest.Wait()
	if c := e.runs.Counts(); c.Open != 0 || c.Quarantined != 0 || c.Retrying != 0 {
		t.Errorf("runs are left: %+v", c)
	}
	if n := e.locks.Count(); n != 0 || e.graph.Size() != 0 || e.ends.Count() != 0 {
		t.Errorf("%d states are left, %d edges, %d waits for an end", n, e.graph.Size(), e.ends.Count())
	}
	if !e.caps.Empty() {
		t.Error("positions in queues are left")
	}
	for _, l := range e.Limits().List() {
		if l.Waiting != 0 {
			t.Errorf("%d calls wait for permits of %s", l.Waiting, l.Host)
		}
	}
	if topics, _ := e.hub.Count(); topics != 0 {
		t.Errorf("%d runs are followed", topics)
	}
}

// TestAllShardsClaimed: an engine without any shard gives up the store, as after a claim by a server that takes all.
func TestAllShardsClaimed(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	id := mustStart(t, e, "obey", nil, "").ID
	claim(t, kv, nil)
	if _, err := e.Cancel(t.Context(), id, flawless.Cancel{}); err == nil {
		t.Error("a run of another server was cancelled")
	}
	<-e.Broken()
	if err := e.Gone(); !errors.Is(err, flawless.Fenced) || !errors.Is(err, flawless.Stopping) {
		t.Errorf("it gave up the store: %v", err)
	}
}

// TestGainAfterUnnoticedLoss: a server that gains shards again which it has lost without noticing reads them anew.
func TestGainAfterUnnoticedLoss(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := open(t, kv, Options{})
	id := mustStart(t, e, "want", ops(receives()), "").ID
	until(t, e, id, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	other := open(t, kv, Options{Claim: store.ByForce(store.ShardOf(id))})
	mustSend(t, other, id, "go", "1")
	mustComplete(t, other, id, `"done"`)
	if err := e.Gain(t.Context(), store.ByForce(store.ShardOf(id))); err != nil || len(e.Shards()) != store.Shards {
		t.Fatalf("it owns %d shards, %v", len(e.Shards()), err)
	}
	mustComplete(t, e, id, `"done"`)
	if got := e.lease.Epoch(store.ShardOf(id)); got != 3 {
		t.Errorf("the epoch is %d, want 3", got)
	}
	if err := other.Gone(); err != nil {
		t.Errorf("the other engine has not noticed anything, but has given up: %v", err)
	}
}

// pair is two engines over one database, and a way to reach the one that owns a run.
type pair [2]*Engine

// ask repeats a request at one engine and the other until one of them answers.
func (p *pair) ask(ctx context.Context, request func(e *Engine) error) error {
	for i := 0; ; i++ {
		err := request(p[i%2])
		if flawless.CodeOf(err) != flawless.Elsewhere || ctx.Err() != nil {
			return err
		}
		if i%2 == 1 { // the shard is on its way
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// TestHandOverUnderLoad moves shards back and forth between two engines, in order, while runs of both make calls.
func TestHandOverUnderLoad(t *testing.T) {
	t.Parallel()
	for name, kv := range map[string]func(t *testing.T) store.KV{
		"memory": func(*testing.T) store.KV { return mem.New() },
		"Pebble": func(t *testing.T) store.KV { return (&volatile{fs: vfs.NewMem()}).open(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs := 150
			if testing.Short() {
				runs = 40
			}
			handOver(t, kv(t), runs, false)
		})
	}
}

// TestTakeOverUnderLoad is the same by force: the former owner learns of it when it writes. No request is made twice. A
// run may be unresolved, but nothing else may happen to it.
func TestTakeOverUnderLoad(t *testing.T) {
	t.Parallel()
	runs := 150
	if testing.Short() {
		runs = 40
	}
	handOver(t, mem.New(), runs, true)
}

func handOver(t *testing.T, kv store.KV, runs int, force bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out := newOutside(t)
	even, odd := halves()
	both := pair{open(t, kv, Options{Claim: store.ByForce(even...), Owner: "even"}), open(t, kv, Options{Claim: store.ByForce(odd...), Owner: "odd"})}

	requests := make(chan struct{}, 1)
	out.delay = func(string) { task.Poke(requests) }

	var moved atomic.Int64
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-stop:
				return
			default:
			}
			from := rnd.IntN(2)
			owned := both[from].Shards()
			if force { // an engine that has lost everything gives up
				owned = slices.DeleteFunc(owned, func(sh store.Shard) bool { return sh > 240 })
			}
			rnd.Shuffle(len(owned), func(i, j int) { owned[i], owned[j] = owned[j], owned[i] })
			some := owned[:min(len(owned), 1+rnd.IntN(60))]
			if force { // rarely, because each time may leave runs that a person has to decide about
				for range 15 {
					select {
					case <-requests:
					case <-stop:
						return
					}
				}
			} else if err := both[from].Release(ctx, some...); err != nil {
				t.Errorf("releasing %d shards: %v", len(some), err)
			}
			if err := both[1-from].Gain(ctx, store.ByForce(some...)); err != nil {
				t.Errorf("gaining %d shards: %v", len(some), err)
			}
			moved.Add(1)
		}
	})

	post := func(id string, n int) op { return op{"Post": fmt.Sprintf("%s/%s/%d", out.URL, id, n)} }
	var clients sync.WaitGroup
	var doubts atomic.Int64
	var completed sync.Map
	ids := make(chan string, runs)
	for range 8 {
		clients.Go(func() {
			for id := range ids {
				kind := "go"
				in := ops(post(id, 1), sleeps(5), spawns(post(id, 2), sleeps(1), post(id, 3)), op{"Receive": kind}, post(id, 4))
				if force { // a child that is unresolved would keep its parent waiting
					in = ops(post(id, 1), sleeps(5), post(id, 2), op{"Receive": kind}, post(id, 3), sleeps(1), post(id, 4))
				}
				begin := Start{Module: "guest", Workflow: "want", Input: input(t, in), ID: id}
				if err := both.ask(ctx, func(e *Engine) error { _, _, err := e.Start(ctx, begin); return err }); err != nil {
					t.Errorf("starting %s: %v", id, err)
					continue
				}
				m := flawless.Message{Type: kind, Body: []byte("1"), Key: "once"}
				if err := both.ask(ctx, func(e *Engine) error { _, err := e.Send(ctx, id, m); return err }); err != nil {
					t.Errorf("a message to %s: %v", id, err)
				}
				var r flawless.Run
				err := both.ask(ctx, func(e *Engine) (err error) { r, err = e.Settled(ctx, id); return err })
				if doubtful := len(r.Unresolved) == 1 && r.Problem == ""; force && doubtful && err == nil {
					doubts.Add(1)
				} else if err != nil || r.Status != flawless.Completed {
					t.Errorf("%s is %s %+v %s, %v", id, r.Status, r.Failure, r.Problem, err)
				} else {
					completed.Store(id, true)
				}
			}
		})
	}
	for n := range runs {
		ids <- fmt.Sprint("run-", n)
	}
	close(ids)
	clients.Wait()
	close(stop)
	mover.Wait()
	if moved.Load() < 3 {
		t.Errorf("shards moved %d times only: the test proves nothing", moved.Load())
	}
	for n := range runs {
		for k := range 4 {
			_, whole := completed.Load(fmt.Sprint("run-", n))
			if path := fmt.Sprintf("/run-%d/%d", n, k+1); out.count(path) > 1 || whole && out.count(path) != 1 {
				t.Errorf("the outside saw %s %d times", path, out.count(path))
			}
		}
	}
	if !force && len(both[0].Shards())+len(both[1].Shards()) != store.Shards {
		t.Errorf("one engine owns %d shards and the other %d", len(both[0].Shards()), len(both[1].Shards()))
	}
	t.Logf("shards moved %d times, %d of %d runs are unresolved", moved.Load(), doubts.Load(), runs)
}

// TestErrandsFollowTheirTargets moves shards between two engines while runs in all of them send each other messages, change
// a state and await each other. What belongs to the other engine at the moment is tried again, in order and once.
func TestErrandsFollowTheirTargets(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		const pairs, adds, balls = 20, 30, 6
		kv := mem.New()
		even, odd := halves()
		both := pair{open(t, kv, Options{Claim: store.ByForce(even...), Owner: "even"}), open(t, kv, Options{Claim: store.ByForce(odd...), Owner: "odd"})}
		defer both[0].Kill()
		defer both[1].Kill()
		open := map[string]string{} // by run: its output
		begin := func(id, workflow string, in any, output string) {
			open[id] = output
			err := both.ask(t.Context(), func(e *Engine) error {
				_, _, err := e.Start(t.Context(), Start{Module: "guest", Workflow: workflow, Input: input(t, in), ID: id})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for n := range pairs {
			a, b := fmt.Sprint("a", n), fmt.Sprint("b", n)
			begin(b, "pingpong", map[string]any{"N": balls}, fmt.Sprint(balls))
			begin(a, "pingpong", map[string]any{"N": balls, "Other": b}, fmt.Sprint(balls))
			begin(fmt.Sprint("d", n), "want", ops(op{"State": "other", "In": ops(sleeps(3000))}), `"done"`)
			begin(fmt.Sprint("c", n), "want", ops(awaits(fmt.Sprint("d", n))), `"done"`)
		}
		for n := range adds {
			begin(fmt.Sprint("add", n), "add", 1, "")
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		for round := 0; len(open) > 0; round++ {
			if round == 3000 {
				for id := range open {
					r, err := both[0].Run(t.Context(), id)
					t.Errorf("%s is %s after %d rounds, %v", id, r.Status, round, err)
				}
				return
			}
			from := rnd.IntN(2)
			owned := both[from].Shards()
			rnd.Shuffle(len(owned), func(i, j int) { owned[i], owned[j] = owned[j], owned[i] })
			some := owned[:min(len(owned), 1+rnd.IntN(100))]
			if err := both[from].Release(t.Context(), some...); err != nil {
				t.Fatal(err)
			}
			if err := both[1-from].Gain(t.Context(), store.ByForce(some...)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			for id, output := range open {
				switch r, err := both[0].Run(t.Context(), id); {
				case flawless.CodeOf(err) == flawless.Elsewhere:
				case err != nil:
					t.Fatal(err)
				case !r.Status.Ended():
				case r.Status != flawless.Completed || output != "" && string(r.Output) != output:
					t.Fatalf("%s is %s with %s, %+v", id, r.Status, r.Output, r.Failure)
				default:
					delete(open, id)
				}
			}
		}
		if s, err := both[0].States().State(t.Context(), "sum"); err != nil || string(s.Value) != fmt.Sprint(adds) || s.Holder != nil {
			t.Errorf("the state is %s, held by %v, %v", s.Value, s.Holder, err)
		}
		time.Sleep(time.Minute)
		for _, e := range both {
			wantNothingLeft(t, e)
		}
	})
}

// TestWaitsGoOnWhenTargetMoves: runs that stay wait for the end of a run, and for a state, that move to another engine.
func TestWaitsGoOnWhenTargetMoves(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(t *testing.T) {
		even, odd := halves()
		kv := mem.New()
		e := open(t, kv, Options{})
		defer e.Kill()
		other := open(t, kv, Options{Claim: store.ByForce()})
		defer other.Kill()
		if _, _, err := other.Start(t.Context(), Start{Module: "guest", Workflow: "empty", Input: []byte("1")}); flawless.CodeOf(err) != flawless.Elsewhere {
			t.Errorf("an engine without shards starts a run: %v", err)
		}
		target, state := nameIn(odd, store.ShardOf, "target"), nameIn(odd, stateShard, "state")
		awaiting, holding, waiting := nameIn(even, store.ShardOf, "awaiting"), nameIn(even, store.ShardOf, "holding"), nameIn(even, store.ShardOf, "waiting")
		mustStart(t, e, "want", ops(receives()), target)
		mustStart(t, e, "want", ops(awaits(target)), awaiting)
		mustStart(t, e, "want", ops(op{"State": state, "In": ops(receives())}), holding)
		synctest.Wait()
		mustStart(t, e, "want", ops(op{"State": state, "In": ops(sleeps(1))}), waiting)
		synctest.Wait()
		if err := e.Release(t.Context(), odd...); err != nil {
			t.Fatal(err)
		}
		if err := other.Gain(t.Context(), store.ByForce(odd...)); err != nil {
			t.Fatal(err)
		}
		mustSend(t, other, target, "go", "1")
		mustComplete(t, other, target, `"done"`)
		time.Sleep(2 * clock.Soon)
		mustComplete(t, e, awaiting, `"done"`)
		mustSend(t, e, holding, "go", "1")
		time.Sleep(time.Minute)
		for _, id := range []string{holding, waiting} {
			if r, err := e.Run(t.Context(), id); err != nil || r.Status.Ended() {
				t.Errorf("%s is %s although another engine owns the state, %v", id, r.Status, err)
			}
		}
		if s, err := other.States().State(t.Context(), state); err != nil || s.Holder == nil || s.Holder.Run != holding || len(s.Value) != 0 {
			t.Errorf("the state is %+v, %v", s, err)
		}
		if err := other.Release(t.Context(), odd...); err != nil {
			t.Fatal(err)
		}
		if err := e.Gain(t.Context(), store.ByForce(odd...)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * clock.Soon)
		for _, id := range []string{holding, waiting} {
			mustComplete(t, e, id, `"done"`)
		}
		if s, err := e.States().State(t.Context(), state); err != nil || string(s.Value) != "2" || s.Holder != nil {
			t.Errorf("the state is %+v, %v", s, err)
		}
		wantNothingLeft(t, e)
		wantNothingLeft(t, other)
	})
}

// TestSettingsOfTwoServers: each changes what the other has changed meanwhile, and neither change is lost.
func TestSettingsOfTwoServers(t *testing.T) {
	t.Parallel()
	even, odd := halves()
	kv := mem.New()
	a, b := open(t, kv, Options{Claim: store.ByForce(even...)}), open(t, kv, Options{Claim: store.ByForce(odd...)})
	ctx := t.Context()
	if _, err := a.ChangeSettings(ctx, "guest", func(s *flawless.Settings) { s.Concurrency = 5 }); err != nil {
		t.Fatal(err)
	}
	s, err := b.ChangeSettings(ctx, "guest", func(s *flawless.Settings) { s.KeepTurns = 3 })
	if err != nil || s.Concurrency != 5 || s.KeepTurns != 3 {
		t.Errorf("the settings are %+v, %v", s, err)
	}
	if _, err := a.Policy().ChangeHost(ctx, "h.test", func(h *flawless.Host) { h.KeyMS = 1000 }); err != nil {
		t.Fatal(err)
	}
	retry := int64(5)
	h, err := b.Policy().ChangeHost(ctx, "h.test", func(h *flawless.Host) { h.RetryForMS = &retry })
	if err != nil || h.KeyMS != 1000 || h.RetryForMS == nil || *h.RetryForMS != retry {
		t.Errorf("the settings of the host are %+v, %v", h, err)
	}
	if err := a.Policy().RemoveHost(ctx, "h.test"); err != nil {
		t.Error(err)
	}
	if err := b.Policy().RemoveHost(ctx, "h.test"); !errors.Is(err, flawless.NotFound) {
		t.Errorf("removing it again: %v", err)
	}
}
