package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// weather is the way from one node to the database: slow, cut, or cut after a write was done.
type weather struct {
	store.KV
	before, after func() error // nil is calm
}

func (w *weather) do(what func() error) error {
	if w.before != nil {
		if err := w.before(); err != nil {
			return err
		}
	}
	if err := what(); err != nil || w.after == nil {
		return err
	}
	return w.after()
}

func (w *weather) Scan(ctx context.Context, r store.Range) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		var items []store.Item
		err := w.do(func() error {
			for item, err := range w.KV.Scan(ctx, r) {
				if err != nil {
					return err
				}
				items = append(items, store.Item{Key: bytes.Clone(item.Key), Value: bytes.Clone(item.Value)})
			}
			return nil
		})
		for _, item := range items {
			if err != nil || !yield(item, nil) {
				break
			}
		}
		if err != nil {
			yield(store.Item{}, err)
		}
	}
}

// Apply applies the batch even if nobody waits for it any more, as a stalled server does.
func (w *weather) Apply(ctx context.Context, b *store.Batch) error {
	return w.do(func() error { return w.KV.Apply(context.WithoutCancel(ctx), b) })
}

// broken is a way that can be cut.
type broken struct{ atomic.Bool }

func (b *broken) pass() error {
	if b.Load() {
		return errors.New("no route to host")
	}
	return nil
}

// open returns a store on a database, in a weather that is calm at first.
func open(t *testing.T, kv store.KV) (*store.Store, *weather) {
	t.Helper()
	w := &weather{KV: kv}
	st, err := store.Open(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return st, w
}

// clock is the time since the start of a machine, in virtual time.
func clock() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Hour + time.Since(began) }
}

// bury marks a silent node dead, as a takeover does.
func bury(ctx context.Context, st *store.Store, n flawless.Node) error {
	dead := n
	dead.Dead = true
	return st.PutNode(ctx, &n, &dead)
}

var quiet = slog.New(slog.DiscardHandler)

func TestNodeStopsBeforeItIsCalledDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, now := mem.New(), clock()
		st, _ := open(t, db)
		far, way := open(t, db)
		var cut broken
		way.before = cut.pass
		ctx, stop := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		a := New(Options{Store: far, Name: "a", Now: now, Log: quiet, Seen: func(context.Context, View) {}})
		var valid atomic.Bool
		var died atomic.Int64 // when
		b := New(Options{Store: st, Name: "b", Now: now, Log: quiet, Seen: func(ctx context.Context, v View) {
			for _, n := range v.Silent {
				if a.Valid() {
					valid.Store(true)
				}
				if err := bury(ctx, st, n); err == nil {
					died.Store(int64(now()))
				}
			}
		}})
		for _, m := range []*Member{a, b} {
			if m.Valid() {
				t.Error("a node is valid before it has joined")
			}
			if err := m.Join(ctx); err != nil {
				t.Fatal(err)
			}
			if !m.Valid() {
				t.Error("a node is not valid after it has joined")
			}
		}
		var end error
		tasks.Go(func() { end = a.Serve(ctx) })
		tasks.Go(func() { _ = b.Serve(ctx) })
		<-time.After(10 * DefaultTTL)
		if !a.Valid() || !b.Valid() || died.Load() != 0 {
			t.Fatalf("in calm weather a is valid: %v, b: %v, and a died at %d", a.Valid(), b.Valid(), died.Load())
		}
		began := now()
		cut.Store(true)
		<-time.After(2 * DefaultTTL)
		dead := time.Duration(died.Load())
		if a.Valid() || valid.Load() || dead == 0 || dead-began > DefaultTTL+DefaultTTL/(2*margin)+2*DefaultTTL/looks {
			t.Errorf("a is valid: %v, and was when it was called dead: %v, %s after it was cut off", a.Valid(), valid.Load(), dead-began)
		}
		cut.Store(false)
		<-time.After(DefaultTTL)
		stop()
		tasks.Wait()
		if !errors.Is(end, flawless.Fenced) || a.Valid() {
			t.Errorf("a node that was called dead goes on: %v, valid: %v", end, a.Valid())
		}
	})
}

func TestLapsedLeaseThatNobodyTookIsRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, way := open(t, mem.New())
		var cut broken
		way.before = cut.pass
		ctx, stop := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		m := New(Options{Store: st, Now: clock(), Log: quiet, Seen: func(context.Context, View) {}})
		if err := m.Join(ctx); err != nil {
			t.Fatal(err)
		}
		tasks.Go(func() { _ = m.Serve(ctx) })
		cut.Store(true)
		<-time.After(time.Hour)
		if m.Valid() {
			t.Error("its lease is valid after an hour without the database")
		}
		cut.Store(false)
		<-time.After(DefaultTTL)
		if !m.Valid() {
			t.Error("its lease is not valid again")
		}
		stop()
		tasks.Wait()
	})
}

// TestOneOwnerInAnyWeather lets nodes take over from each other while their ways to the database are cut, slow, or lose the
// outcome of writes, and while they stand still. A node that is called dead must not have a valid lease.
func TestOneOwnerInAnyWeather(t *testing.T) {
	t.Parallel()
	seeds := uint64(200)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { inWeather(t, seed) })
		})
	}
}

func inWeather(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex // guards random and members
	members := map[string]*Member{}
	db, now := mem.New(), clock()
	calm, _ := open(t, db)
	ctx, stop := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	buried, ended := 0, 0
	chance := func(percent int) bool { mu.Lock(); defer mu.Unlock(); return random.IntN(100) < percent }
	pause := func(most time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.Int64N(int64(most)))
	}
	storm := func() error {
		switch {
		case chance(10):
			<-time.After(pause(3 * DefaultTTL))
		case chance(10):
			return errors.New("connection reset by peer")
		default:
			<-time.After(pause(DefaultTTL / 20))
		}
		return nil
	}
	node := func() {
		for ctx.Err() == nil {
			st, w := open(t, db)
			w.before, w.after = storm, storm
			m := New(Options{Store: st, Now: now, Log: quiet, Seen: func(ctx context.Context, v View) {
				for _, n := range v.Silent {
					if bury(ctx, st, n) != nil && !nodeIs(calm, n.ID, func(n flawless.Node) bool { return n.Dead }) {
						continue
					}
					mu.Lock()
					buried++
					other := members[n.ID]
					mu.Unlock()
					if other.Valid() {
						t.Errorf("seed %d: node %s is called dead %s before its lease ends", seed, n.ID, other.Deadline()-now())
					}
				}
			}})
			mu.Lock()
			members[m.Node().ID] = m
			mu.Unlock()
			if m.Join(ctx) == nil && m.Serve(ctx) != nil && ctx.Err() == nil {
				mu.Lock()
				ended++
				mu.Unlock()
			}
		}
	}
	for range 3 {
		tasks.Go(node)
	}
	<-time.After(100 * DefaultTTL)
	stop()
	tasks.Wait()
	if buried == 0 || ended == 0 {
		t.Errorf("seed %d: %d nodes were called dead, %d noticed: the weather is too good", seed, buried, ended)
	}
}

// nodeIs reports whether the row of a node exists and is as wanted.
func nodeIs(st *store.Store, id string, wanted func(n flawless.Node) bool) bool {
	nodes, _ := st.Nodes(context.Background())
	for _, n := range nodes {
		if n.ID == id {
			return wanted(n)
		}
	}
	return false
}

func TestSilenceIsLongerThanALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, _ := open(t, mem.New())
		now := clock()
		a, b := New(Options{Store: st, Now: now, Log: quiet}), New(Options{Store: st, Now: now, Log: quiet})
		for _, m := range []*Member{a, b} {
			if err := m.Join(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		began := now()
		if a.Deadline() != began+DefaultTTL-DefaultTTL/margin {
			t.Errorf("the lease of a node that joined ends after %s", a.Deadline()-began)
		}
		for {
			v, err := b.renew(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Silent) > 0 {
				break
			}
			<-time.After(DefaultTTL / 1000)
		}
		if got := now() - began; got != DefaultTTL+DefaultTTL/(2*margin) {
			t.Errorf("a node is called dead after %s, want %s", got, DefaultTTL+DefaultTTL/(2*margin))
		}
	})
}

func TestTimeWithoutReadsIsNoSilence(t *testing.T) {
	t.Parallel()
	d := detector{silence: 10, gap: 4}
	n := []flawless.Node{{ID: "a", Beat: 1}}
	see := func(sent, returned time.Duration, want int) {
		t.Helper()
		if v := d.observe(sent, returned, n); len(v.Silent) != want {
			t.Errorf("a read from %d to %d finds %v dead, want %d", sent, returned, v.Silent, want)
		}
	}
	see(0, 1, 0)
	see(30, 30, 0) // a machine that slept between two reads: 4 of 29 count
	see(31, 31, 0)
	see(35, 35, 0)
	see(36, 36, 1)
	n[0].Beat = 2
	see(40, 45, 0)
	see(46, 47, 0)
	see(50, 51, 0)
	see(54, 60, 0) // at 45 it was alive
	see(55, 60, 1) // slow reads take nothing away
	d = detector{silence: 10, gap: 4}
	see(70, 70, 0)
	n[0].Dead = true
	for at := time.Duration(74); at < 100; at += 4 {
		see(at, at, 0)
	}
}

// moving is a database that moves from one server to another.
type moving struct {
	store.KV
	changes atomic.Uint64
}

func (m *moving) Changes() uint64 { return m.changes.Load() }
func (m *moving) Branch() string  { return "" }

// TestOtherPrimaryIsWatchedAnew: a node is not called dead because of a number that was seen on another database server.
func TestOtherPrimaryIsWatchedAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &moving{KV: mem.New()}
		st, err := store.Open(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		var silentAfter atomic.Int64
		a := New(Options{Store: st, Name: "a", Now: clock(), Log: quiet, Seen: func(context.Context, View) {}})
		b := New(Options{Store: st, Name: "b", Now: clock(), Log: quiet, Seen: func(_ context.Context, v View) {
			if len(v.Silent) > 0 {
				silentAfter.CompareAndSwap(0, int64(time.Since(began)))
			}
		}})
		for _, m := range []*Member{a, b} {
			if err := m.Join(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var tasks sync.WaitGroup
		tasks.Go(func() { _ = b.Serve(ctx) }) // a is never renewed
		time.Sleep(DefaultTTL)
		db.changes.Add(1)
		time.Sleep(4 * DefaultTTL)
		stop()
		tasks.Wait()
		if got := time.Duration(silentAfter.Load()); got < 2*DefaultTTL || got > 3*DefaultTTL {
			t.Errorf("the node counts as dead after %v", got)
		}
	})
}
