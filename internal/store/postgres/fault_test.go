package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

func item(key, value string) store.Item { return store.Item{Key: []byte(key), Value: []byte(value)} }

func absent(key string) store.Item { return store.Item{Key: []byte(key)} }

func set(items ...store.Item) *store.Batch { return &store.Batch{Set: items} }

func apply(t testing.TB, db *DB, b *store.Batch) {
	t.Helper()
	if err := db.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// value returns the value of a key, or "-" if there is none.
func value(t testing.TB, db *DB, key string) string {
	t.Helper()
	v, err := db.Get(t.Context(), []byte(key))
	if errors.Is(err, flawless.NotFound) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

func closing(t testing.TB, db *DB) {
	t.Helper()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// marked returns a function for a proxy that does something with the first request that has a text.
func marked(text string, d deed) (func([]byte) deed, *atomic.Bool) {
	done := new(atomic.Bool)
	return func(request []byte) deed {
		if bytes.Contains(request, []byte(text)) && !done.Swap(true) {
			return d
		}
		return deed{}
	}, done
}

// TestLostAnswersAreFound cuts connections before and after a statement, and has the server report errors. Nobody sees
// anything of that.
func TestLostAnswersAreFound(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		deed deed
	}{
		{"cut before the statement", deed{cut: true}},
		{"cut within the statement", deed{cut: true, part: 100}},
		{"cut before the last byte", deed{cut: true, part: 1 << 20}},
		{"cut after the commit", deed{after: true}},
		{"serialization failure", deed{inject: "40001"}},
		{"deadlock", deed{inject: "40P01"}},
		{"lock not available", deed{inject: "55P03"}},
		{"cancelled", deed{inject: "57014"}},
		{"no connection left", deed{inject: "53300"}},
		{"out of memory", deed{inject: "53200"}},
		{"stopped by an administrator", deed{inject: "57P01", fatal: true}},
		{"crash of another process", deed{inject: "57P02", fatal: true}},
		{"outcome unknown to the server itself", deed{inject: "40003"}},
		{"no longer the primary", deed{inject: "25006"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := pgtest.Shared(t)
			p := newProxy(t, s)
			db := openAt(t, s.URLAt(pgtest.User, p.port()), s.Schema(), Options{Lanes: 1})
			closing(t, db)
			apply(t, db, set(item("a", "0"), item("refusing", "x"))) // statements are prepared now
			for i, batch := range []struct {
				b    *store.Batch
				want error
			}{
				{&store.Batch{Expect: []store.Item{item("a", "0")}, Set: []store.Item{item("a", "marked")}}, nil},
				{&store.Batch{Expect: []store.Item{absent("new")}, Set: []store.Item{item("new", "marked")}}, nil},
				{&store.Batch{Expect: []store.Item{item("refusing", "y")}, Set: []store.Item{item("never", "marked")}}, flawless.Fenced},
				{&store.Batch{Expect: []store.Item{item("a", "marked")}, Delete: [][]byte{[]byte("a"), []byte("marked")}}, nil},
			} {
				do, did := marked("marked", row.deed)
				p.set(do)
				if err := db.Apply(t.Context(), batch.b); !errors.Is(err, batch.want) || batch.want == nil && err != nil {
					t.Errorf("batch %d: %v, want %v", i, err, batch.want)
				}
				if !did.Load() {
					t.Errorf("batch %d: nothing was done to it: the test proves nothing", i)
				}
			}
			for key, want := range map[string]string{"a": "-", "new": "marked", "never": "-"} {
				if got := value(t, db, key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
		})
	}
}

// TestLateStatementIsFenced has the bytes of a statement arrive after the lane has given up on it.
func TestLateStatementIsFenced(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	p := newProxy(t, s)
	db := openAt(t, s.URLAt(pgtest.User, p.port()), s.Schema(), Options{Lanes: 1, Patience: 200 * time.Millisecond, grace: 10 * time.Millisecond})
	closing(t, db)
	apply(t, db, set(item("a", "0"), item("b", "0")))

	for _, row := range []struct {
		name string
		wait time.Duration // until the caller goes
		want string
	}{
		{"caller waits", time.Hour, "first"},
		{"caller goes", 50 * time.Millisecond, "-"},
	} {
		release, arrived := make(chan struct{}), make(chan struct{})
		do, _ := marked("late", deed{late: release, arrived: arrived})
		p.set(do)
		ctx, cancel := context.WithTimeout(t.Context(), row.wait)
		key := "late " + row.name
		err := db.Apply(ctx, &store.Batch{Set: []store.Item{item(key, "first"), item("a", "late")}})
		cancel()
		if (err != nil) != (row.want == "-") || err != nil && flawless.CodeOf(err) != "" {
			t.Errorf("%s: %v", row.name, err)
		}
		// Readers see the outcome from now on.
		if got := value(t, db, key); got != row.want {
			t.Errorf("%s: it is %q, want %q", row.name, got, row.want)
		}
		if row.want == "first" {
			apply(t, db, set(item(key, "second"), item("a", "1")))
			row.want = "second"
		}
		close(release)
		<-arrived
		if got := value(t, db, key); got != row.want {
			t.Errorf("%s: after the statement was executed late it is %q, want %q", row.name, got, row.want)
		}
	}
	apply(t, db, &store.Batch{Expect: []store.Item{item("b", "0")}, Set: []store.Item{item("b", "1")}})
}

// TestUnfinishedRequestIsEnded leaves a statement executed, but its request without an end, so that it holds its locks.
func TestUnfinishedRequestIsEnded(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	p := newProxy(t, s)
	db := openAt(t, s.URLAt(pgtest.User, p.port()), s.Schema(), Options{Lanes: 1, Patience: time.Second})
	closing(t, db)
	apply(t, db, set(item("a", "0")))
	do, did := marked("unfinished", deed{stall: true})
	p.set(do)
	apply(t, db, set(item("a", "unfinished")))
	if !did.Load() {
		t.Error("nothing was done: the test proves nothing")
	}
	if got := value(t, db, "a"); got != "unfinished" {
		t.Errorf("it is %q", got)
	}
	apply(t, db, set(item("a", "after it")))
}

// load applies batches from many goroutines, each of which counts in a key of its own and writes a record for each number,
// under a lease that all share. It returns a function that stops, and checks that nothing was lost or doubled.
func load(t *testing.T, db *DB, writers int) (check func() int) {
	t.Helper()
	apply(t, db, set(item("lease", "1")))
	stop := make(chan struct{})
	var all sync.WaitGroup
	counts := make([]int, writers)
	for w := range writers {
		apply(t, db, set(item(fmt.Sprintf("count %02d", w), "0")))
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					counts[w] = n
					return
				default:
				}
				key := fmt.Sprintf("count %02d", w)
				b := &store.Batch{
					Expect: []store.Item{item("lease", "1"), item(key, itoa(n)), absent(fmt.Sprintf("record %02d %06d", w, n))},
					Set:    []store.Item{item(key, itoa(n+1)), item(fmt.Sprintf("record %02d %06d", w, n), itoa(n))},
				}
				if n > 0 {
					b.Delete = [][]byte{fmt.Appendf(nil, "blob %02d %06d", w, n-1)}
				}
				b.Set = append(b.Set, item(fmt.Sprintf("blob %02d %06d", w, n), strings.Repeat("x", n%3000)))
				if err := db.Apply(context.Background(), b); err != nil {
					t.Errorf("writer %d, batch %d: %v", w, n, err)
					counts[w] = n
					return
				}
				if n%7 == 0 {
					v, err := db.Get(context.Background(), []byte(key))
					if err != nil || string(v) != itoa(n+1) {
						t.Errorf("writer %d reads %q, %v after it wrote %d", w, v, err, n+1)
					}
				}
			}
		})
	}
	return func() int {
		t.Helper()
		close(stop)
		all.Wait()
		total := 0
		for w, n := range counts {
			total += n
			if got := value(t, db, fmt.Sprintf("count %02d", w)); got != itoa(n) {
				t.Errorf("writer %d applied %d batches, but has counted %s", w, n, got)
			}
			var records, blobs int
			for it, err := range db.Scan(t.Context(), store.Range{From: fmt.Appendf(nil, "record %02d ", w), To: fmt.Appendf(nil, "record %02d!", w)}) {
				if err != nil {
					t.Fatal(err)
				}
				if string(it.Value) != itoa(records) {
					t.Fatalf("writer %d: record %d is %s", w, records, it.Value)
				}
				records++
			}
			for _, err := range db.Scan(t.Context(), store.Range{From: fmt.Appendf(nil, "blob %02d ", w), To: fmt.Appendf(nil, "blob %02d!", w)}) {
				if err != nil {
					t.Fatal(err)
				}
				blobs++
			}
			if records != n || blobs != min(n, 1) {
				t.Errorf("writer %d applied %d batches, but has %d records and %d blobs", w, n, records, blobs)
			}
		}
		return total
	}
}

// backends returns the process ids of the connections of a node.
func backends(t *testing.T, s *pgtest.Server, db *DB) []string {
	t.Helper()
	return strings.Fields(s.Exec(t, fmt.Sprintf("SELECT pid FROM pg_stat_activity WHERE application_name = 'flawless %s'", db.node)))
}

// TestNothingIsLostOrDoubled disturbs a server under load.
func TestNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	pause := func() { <-time.After(time.Duration(20+rand.IntN(150)) * time.Millisecond) }
	for _, row := range []struct {
		name    string
		own     bool // needs a server of its own
		disturb func(t *testing.T, s *pgtest.Server, p *proxy, db *DB)
	}{
		{"kill -9 of a backend", true, func(t *testing.T, s *pgtest.Server, p *proxy, db *DB) {
			all := backends(t, s, db)
			if len(all) == 0 {
				return
			}
			pid, _ := strconv.Atoi(all[rand.IntN(len(all))])
			if backend, err := os.FindProcess(pid); err == nil {
				_ = backend.Kill() // it may have ended
			}
			<-time.After(300 * time.Millisecond)
			s.WaitReady(t)
		}},
		{"crash and restart", true, func(t *testing.T, s *pgtest.Server, p *proxy, db *DB) {
			s.Stop(t, pgtest.Immediate)
			s.StartAgain(t)
		}},
		{"stop and restart", true, func(t *testing.T, s *pgtest.Server, p *proxy, db *DB) {
			s.Stop(t, pgtest.Fast)
			s.StartAgain(t)
		}},
		{"backends terminated", false, func(t *testing.T, s *pgtest.Server, p *proxy, db *DB) {
			s.Exec(t, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flawless %s'", db.node))
		}},
		{"statements cancelled", false, func(t *testing.T, s *pgtest.Server, p *proxy, db *DB) {
			s.Exec(t, fmt.Sprintf("SELECT pg_cancel_backend(pid) FROM pg_stat_activity, generate_series(1, 50) WHERE application_name = 'flawless %s'", db.node))
		}},
		{"connections cut", false, func(t *testing.T, s *pgtest.Server, p *proxy, db *DB) { p.cutAll() }},
		{"requests cut at any byte", false, func(t *testing.T, s *pgtest.Server, p *proxy, db *DB) {
			p.set(func(request []byte) deed {
				switch rand.IntN(40) {
				case 0:
					return deed{cut: true, part: rand.IntN(len(request))}
				case 1:
					return deed{after: true}
				case 2:
					return deed{inject: []string{"40001", "40P01", "53300", "55P03"}[rand.IntN(4)]}
				case 3:
					return deed{inject: "57P01", fatal: true}
				}
				return deed{}
			})
			pause()
			p.set(nil)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var s *pgtest.Server
			if row.own {
				s = pgtest.Start(t, nil)
			} else {
				s = pgtest.Shared(t)
			}
			p := newProxy(t, s)
			db := openAt(t, s.URLAt(pgtest.User, p.port()), s.Schema(), Options{Patience: 5 * time.Second})
			closing(t, db)
			check := load(t, db, 24)
			for range rounds {
				pause()
				row.disturb(t, s, p, db)
			}
			pause()
			if n := check(); n < 100 {
				t.Errorf("only %d batches: the test proves little", n)
			}
		})
	}
}
