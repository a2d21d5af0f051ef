package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// TestConformsUnderSerializable runs the suite where every transaction is serializable unless it says otherwise.
func TestConformsUnderSerializable(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long: make test without SHORT=1 and make nightly run it")
	}
	t.Parallel()
	for _, level := range []string{"serializable", "repeatable read"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Start(t, map[string]string{"default_transaction_isolation": level})
			storetest.Run(t, func(t *testing.T) store.KV { return openAt(t, s.URL(pgtest.User), s.Schema(), Options{}) })
		})
	}
}

// TestMergedBatchesAreAnsweredEach queues batches that expect different values of a row, while the lane is occupied.
func TestMergedBatchesAreAnsweredEach(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	p := newProxy(t, s)
	db := openAt(t, s.URLAt(pgtest.User, p.port()), s.Schema(), Options{Lanes: 1})
	closing(t, db)
	apply(t, db, set(item("lease", "7"), item("shared", "x")))
	release, occupied := make(chan struct{}), make(chan struct{})
	var occupy sync.Once
	var statements atomic.Int64
	p.set(func(request []byte) deed {
		if strings.Contains(string(request), "merged ") {
			statements.Add(1)
		}
		if strings.Contains(string(request), "occupying") {
			occupy.Do(func() { close(occupied) })
			<-release
		}
		return deed{}
	})
	var all sync.WaitGroup
	all.Go(func() { apply(t, db, set(item("occupying", "1"))) })
	<-occupied
	var right, wrong, shared, created atomic.Int64
	for i := range 120 {
		all.Go(func() {
			b := set(item(fmt.Sprintf("merged %03d", i), "1"))
			counts, want := &right, error(nil)
			switch i % 4 {
			case 0:
				b.Expect = []store.Item{item("lease", "7")}
			case 1: // an owner whose lease is over
				b.Expect = []store.Item{item("lease", "5")}
				counts, want = &wrong, flawless.Fenced
			case 2: // one of them may create it
				b.Expect = []store.Item{item("lease", "7"), absent("once")}
				b.Set = append(b.Set, item("once", itoa(i)))
				counts = &created
			case 3: // all change the same row
				b.Expect = []store.Item{item("lease", "7")}
				b.Set = append(b.Set, item("shared", itoa(i)))
				counts = &shared
			}
			err := db.Apply(context.Background(), b)
			if counts == &created {
				if err == nil {
					created.Add(1)
				} else if !errors.Is(err, flawless.Fenced) {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("batch %d: %v, want %v", i, err, want)
			}
			counts.Add(1)
		})
	}
	for len(db.queue.peek()) < 120 {
		<-time.After(time.Millisecond)
	}
	close(release)
	all.Wait()
	if n := statements.Load(); n > 100 {
		t.Errorf("120 batches took %d statements: nothing was merged", n)
	}
	if created.Load() != 1 {
		t.Errorf("%d batches have created a row that must not exist", created.Load())
	}
	for i := range 120 {
		got, want := value(t, db, fmt.Sprintf("merged %03d", i)), "1"
		switch i % 4 {
		case 1:
			want = "-"
		case 2:
			if value(t, db, "once") != itoa(i) {
				want = "-"
			}
		}
		if got != want {
			t.Errorf("the record of batch %d is %q, want %q", i, got, want)
		}
	}
}

// peek returns the batches that wait.
func (q *queue) peek() []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]*batch(nil), q.waiting...)
}

// TestTakeoverFencesOtherServers has two servers write, each under the lease that it has claimed, and take it from each
// other. Records of an owner never follow those of a later one.
func TestTakeoverFencesOtherServers(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema()
	first := openAt(t, s.URL(pgtest.User), schema, Options{})
	closing(t, first)
	apply(t, first, set(item("lease", "0"), item("last", "0")))
	stop := make(chan struct{})
	var all sync.WaitGroup
	var claims, writes, fenced atomic.Int64
	for server := range 2 {
		db := first
		if server > 0 {
			db = openAt(t, s.URL(pgtest.User), schema, Options{})
			closing(t, db)
		}
		all.Go(func() {
			for {
				old := value(t, db, "lease")
				epoch := fmt.Sprintf("%d of %d", claims.Load(), server)
				err := db.Apply(context.Background(), &store.Batch{Expect: []store.Item{item("lease", old)}, Set: []store.Item{item("lease", epoch)}})
				if err != nil && !errors.Is(err, flawless.Fenced) {
					t.Error(err)
					return
				}
				if err == nil {
					n := claims.Add(1)
					var writers sync.WaitGroup
					for w := range 8 {
						writers.Go(func() {
							for i := 0; ; i++ {
								err := db.Apply(context.Background(), &store.Batch{
									Expect: []store.Item{item("lease", epoch)},
									// The row says under which lease it was written last. No two servers may see it alternate.
									Set: []store.Item{item(fmt.Sprintf("r %d %d", w, n), epoch), item(fmt.Sprintf("last %d", w), epoch)},
								})
								if errors.Is(err, flawless.Fenced) {
									fenced.Add(1)
									if got := value(t, db, "lease"); got == epoch {
										t.Errorf("it is fenced, but still has the lease %s", epoch)
									}
									return
								}
								if err != nil {
									t.Error(err)
									return
								}
								writes.Add(1)
								select {
								case <-stop:
									return
								default:
								}
							}
						})
					}
					writers.Wait()
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	// What was written under a lease before the next one is claimed stays; nothing is added after it.
	seen := map[string]string{}
	enough := func() bool { return claims.Load() >= 4 && fenced.Load() > 0 && writes.Load() >= 100 }
	for began := time.Now(); time.Since(began) < 2*time.Second || !enough() && time.Since(began) < time.Minute; {
		lease := value(t, first, "lease")
		if seen[lease] == "" {
			seen[lease] = "x"
		}
		for w := range 8 {
			got := value(t, first, fmt.Sprintf("last %d", w))
			if got != "-" && got != lease && value(t, first, "lease") == lease {
				// An older owner's row is there: it must not change any more.
				if again := value(t, first, fmt.Sprintf("last %d", w)); again != got && again != lease && value(t, first, "lease") == lease {
					t.Errorf("under lease %q the row has changed from %q to %q", lease, got, again)
				}
			}
		}
	}
	close(stop)
	all.Wait()
	if !enough() {
		t.Errorf("%d claims, %d writes, %d of them fenced: the test proves little", claims.Load(), writes.Load(), fenced.Load())
	}
}

// TestWriteThatWaitsForTakeoverIsFenced holds the row of a lease locked, as a takeover that is about to commit does.
func TestWriteThatWaitsForTakeoverIsFenced(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema()
	db := openAt(t, s.URL(pgtest.User), schema, Options{Lanes: 1})
	closing(t, db)
	apply(t, db, set(item("lease", "1"), item("other", "1")))
	conn, err := db.connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE "+db.schema+".rows SET v = '2' WHERE k = 'lease'"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- db.Apply(context.Background(), &store.Batch{Expect: []store.Item{item("lease", "1")}, Set: []store.Item{item("a", "1")}})
	}()
	// It neither holds the lane up for others, nor gets through.
	for i := range 20 {
		apply(t, db, &store.Batch{Expect: []store.Item{item("other", "1")}, Set: []store.Item{item("b", itoa(i))}})
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the takeover: %v", err)
	default:
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, flawless.Fenced) {
		t.Errorf("it is %v, want %v", err, flawless.Fenced)
	}
	if got := value(t, db, "a"); got != "-" {
		t.Error("it was written")
	}
}

// TestOneOfTwoServersCreatesRow has two servers create the same rows, which no lease protects.
func TestOneOfTwoServersCreatesRow(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema()
	var dbs []*DB
	for range 2 {
		db := openAt(t, s.URL(pgtest.User), schema, Options{})
		closing(t, db)
		dbs = append(dbs, db)
	}
	won := make([]atomic.Int64, 300)
	var all sync.WaitGroup
	for i := range won {
		for n, db := range dbs {
			all.Go(func() {
				key := fmt.Sprintf("%c row %d", "rb"[i%2], i)
				err := db.Apply(context.Background(), &store.Batch{Expect: []store.Item{absent(key)}, Set: []store.Item{item(key, itoa(n)), item(key+" too", itoa(n))}})
				if err == nil {
					won[i].Add(1)
				} else if !errors.Is(err, flawless.Fenced) {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	for i := range won {
		key := fmt.Sprintf("%c row %d", "rb"[i%2], i)
		if n := won[i].Load(); n != 1 || value(t, dbs[0], key) != value(t, dbs[1], key+" too") {
			t.Errorf("row %d was created %d times", i, n)
		}
	}
}
