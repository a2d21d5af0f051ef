package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless/internal/ring"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// remembering returns options with the memory in a directory, which is abandoned like that of a process that is killed.
func remembering(dir string) Options {
	return Options{Schema: "x", Memory: func(id string) (Memory, error) { return ring.Open(dir, id) }}
}

// snapshots copies the data of a server, and restores them.
type snapshots struct{ s *pgtest.Server }

func (c snapshots) take(t *testing.T, name string)    { c.copy(t, "data", name) }
func (c snapshots) restore(t *testing.T, name string) { c.copy(t, name, "data") }

func (c snapshots) copy(t *testing.T, from, to string) {
	t.Helper()
	c.s.Stop(t, pgtest.Fast)
	if err := os.RemoveAll(filepath.Join(c.s.Dir, to)); err != nil {
		t.Fatal(err)
	}
	copyDir(t, filepath.Join(c.s.Dir, from), filepath.Join(c.s.Dir, to))
	c.s.StartAgain(t)
}

// crash leaves the rows of a DB as a process leaves them that is killed.
func crash(t *testing.T, db *DB) {
	t.Helper()
	db.Abandon()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustLose(t *testing.T, db *DB) []store.Loss {
	t.Helper()
	losses, err := db.Losses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return losses
}

// TestNextStartFindsWhatWasLost while no server was running.
func TestNextStartFindsWhatWasLost(t *testing.T) {
	t.Parallel()
	for _, row := range []string{"killed", "stopped in order"} {
		t.Run(row, func(t *testing.T) {
			t.Parallel()
			s, dir := pgtest.Start(t, nil), t.TempDir()
			disk := snapshots{s}
			end := func(db *DB) {
				if row == "killed" {
					crash(t, db)
				} else if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			write := func(db *DB, n int) (at store.Position) {
				for range n {
					var err error
					if at, err = db.ApplyAt(t.Context(), set(item("a", "1"))); err != nil {
						t.Fatal(err)
					}
				}
				return at
			}
			o := remembering(dir)
			o.Lanes = 1
			first, err := Open(t.Context(), s.URL(pgtest.User), o)
			if err != nil {
				t.Fatal(err)
			}
			if at := write(first, 3); at != (store.Position{N: 3}) {
				t.Errorf("the third write is at %+v", at)
			}
			end(first)
			disk.take(t, "before")

			second, err := Open(t.Context(), s.URL(pgtest.User), o)
			if err != nil {
				t.Fatal(err)
			}
			if losses := mustLose(t, second); len(losses) > 0 {
				t.Errorf("nothing was lost, but it says %+v", losses)
			}
			if at := write(second, 4); at.N != 7 {
				t.Errorf("the seventh write is at %+v", at)
			}
			end(second)
			disk.restore(t, "before")

			for attempt := range 2 { // the first one does not settle it
				next, err := Open(t.Context(), s.URL(pgtest.User), o)
				if err != nil {
					t.Fatal(err)
				}
				losses := mustLose(t, next)
				if len(losses) != 1 || !losses[0].Own || losses[0].Older || losses[0].Left[0] != 3 {
					t.Errorf("attempt %d: it has lost %+v", attempt, losses)
				}
				if at := write(next, 1); at.N != 8+int64(attempt) {
					t.Errorf("attempt %d: the next write is at %+v", attempt, at)
				}
				end(next)
			}
			// Another server, in another directory, knows that there is something to find out.
			other := remembering(t.TempDir())
			stranger, err := Open(t.Context(), s.URL(pgtest.User), other)
			if err != nil {
				t.Fatal(err)
			}
			if losses := mustLose(t, stranger); len(losses) != 1 || losses[0].Own {
				t.Errorf("to another server it has lost %+v", losses)
			} else if err := stranger.Settle(t.Context(), losses[0]); err != nil || len(mustLose(t, stranger)) > 0 {
				t.Errorf("a settled loss is there: %v", err)
			}
			end(stranger)
			// A database from before the first start of that server has lost what others may have done, too.
			disk.restore(t, "before")
			if stranger, err = Open(t.Context(), s.URL(pgtest.User), other); err != nil {
				t.Fatal(err)
			}
			if losses := mustLose(t, stranger); len(losses) != 0 { // it has written nothing
				t.Errorf("without a write of its own it has lost %+v", losses)
			}
			write(stranger, 1)
			end(stranger)
			disk.restore(t, "before")
			if stranger, err = Open(t.Context(), s.URL(pgtest.User), other); err != nil {
				t.Fatal(err)
			}
			if losses := mustLose(t, stranger); len(losses) != 1 || !losses[0].Older {
				t.Errorf("it has lost %+v", losses)
			}
			end(stranger)
		})
	}
}

// TestAnotherPrimaryRaisesQuestion promotes a standby. A server that finds its own writes there has nothing to ask.
func TestAnotherPrimaryRaisesQuestion(t *testing.T) {
	t.Parallel()
	s, dir := pgtest.Start(t, nil), t.TempDir()
	db, err := Open(t.Context(), s.URL(pgtest.User), remembering(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer crash(t, db)
	apply(t, db, set(item("a", "1")))
	plain := openAt(t, s.URL(pgtest.User), "x", Options{}) // as for the renewal of leases
	closing(t, plain)
	before := s.Exec(t, "SELECT value FROM x.meta WHERE name = 'primary'")
	promote := func() {
		t.Helper()
		s.Stop(t, pgtest.Fast)
		if err := os.WriteFile(filepath.Join(s.Dir, "data", "standby.signal"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s.StartAgain(t)
		s.Exec(t, "SELECT pg_promote()")
	}
	promote()
	apply(t, db, set(item("a", "2")))
	if now := s.Exec(t, "SELECT value FROM x.meta WHERE name = 'primary'"); now == before || now == "" || db.Changes() == 0 {
		t.Errorf("the primary was %s and is %s, with %d changes", before, now, db.Changes())
	}
	if _, err := plain.Get(t.Context(), []byte("a")); err != nil || plain.Changes() == 0 {
		t.Errorf("a read has not noticed the other primary: %d changes, %v", plain.Changes(), err)
	}
	if losses := mustLose(t, db); len(losses) > 0 {
		t.Errorf("nothing was lost, but it says %+v", losses)
	}
	fresh, err := Open(t.Context(), s.URL(pgtest.User), remembering(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if losses := mustLose(t, fresh); len(losses) > 0 {
		t.Errorf("a server that compared has seen the new primary, but the next one asks: %+v", losses)
	}
	crash(t, fresh)
	crash(t, db)
	promote()
	if fresh, err = Open(t.Context(), s.URL(pgtest.User), remembering(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	losses := mustLose(t, fresh)
	if len(losses) != 1 || losses[0].Own || !losses[0].Older || losses[0].Node != "" {
		t.Errorf("nobody has compared, and a new server says %+v", losses)
	}
	crash(t, fresh)
}

// TestOldPrimaryAcknowledgesNothing: the old primary still answers on a connection, while another connection has compared the
// numbers with the new one. What it would acknowledge then, nobody would miss.
func TestOldPrimaryAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	b := s.Standby(t)
	var promoted atomic.Bool
	o := remembering(t.TempDir())
	o.Lanes = 1
	o.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		port := s.Port()
		if promoted.Load() {
			port = b.Port()
		}
		return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
	}
	db, err := Open(t.Context(), s.URL(pgtest.User), o)
	if err != nil {
		t.Fatal(err)
	}
	defer crash(t, db)
	apply(t, db, set(item("a", "1")))
	before := db.Branch()
	for s.Exec(t, "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") != "1" {
	}
	b.Promote(t)
	promoted.Store(true)
	db.pool.Reset() // the next reader connects anew
	if _, err := db.Get(t.Context(), []byte("a")); err != nil {
		t.Fatal(err)
	}
	if db.Branch() == before || db.Changes() != 1 {
		t.Fatalf("the branch was %s and is %s, with %d changes", before, db.Branch(), db.Changes())
	}
	apply(t, db, set(item("a", "2")))
	for _, row := range []struct {
		at   *pgtest.Server
		want string
	}{{s, "1"}, {b, "2"}} {
		if got := row.at.Exec(t, "SELECT convert_from(v, 'UTF8') FROM x.rows WHERE k = 'a'"); got != row.want {
			t.Errorf("a server has %q, want %q", got, row.want)
		}
	}
}

// TestLateStatementOfFormerProcess: what the last process has sent takes no effect after the next one has begun.
func TestLateStatementOfFormerProcess(t *testing.T) {
	t.Parallel()
	s, dir := pgtest.Shared(t), t.TempDir()
	o := remembering(dir)
	o.Schema, o.Lanes = s.Schema(), 1
	db, err := Open(t.Context(), s.URL(pgtest.User), o)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, db, set(item("a", "1")))
	late := db.lanes[0].conn
	next, err := Open(t.Context(), s.URL(pgtest.User), o)
	if err != nil {
		t.Fatal(err)
	}
	defer crash(t, next)
	args := assemble([]*batch{newBatch(set(item("a", "late")))})
	list := args.list([]any{db.node, int32(0), db.lanes[0].generation, db.lanes[0].n.Load() + 1})
	if _, err := late.Exec(t.Context(), db.statement(args.shape), list...); err != nil {
		t.Fatal(err)
	}
	if v, err := next.Get(t.Context(), []byte("a")); err != nil || !slices.Equal(v, []byte("1")) {
		t.Errorf("a late statement has taken effect: %s, %v", v, err)
	}
	crash(t, db)
}

// TestPassingWritesMayBeLost: a DB for renewals goes on with what a restored database has, and nobody is asked.
func TestPassingWritesMayBeLost(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	disk := snapshots{s}
	main := openAt(t, s.URL(pgtest.User), "x", Options{})
	apply(t, main, set(item("a", "1")))
	if err := main.Close(); err != nil {
		t.Fatal(err)
	}
	disk.take(t, "older") // without the rows of its lanes
	db := openAt(t, s.URL(pgtest.User), "x", Options{Lanes: 1, Passing: true})
	closing(t, db)
	apply(t, db, set(item("a", "2")))
	disk.take(t, "newer")
	apply(t, db, set(item("a", "3")))
	apply(t, db, set(item("a", "4")))
	for i, name := range []string{"newer", "older"} {
		disk.restore(t, name)
		if v, err := db.Get(t.Context(), []byte("a")); err != nil || string(v) != itoa(2-i) {
			t.Errorf("after restoring the %s copy it has %s, %v", name, v, err)
		}
		apply(t, db, set(item("a", "5")))
		if v, err := db.Get(t.Context(), []byte("a")); err != nil || string(v) != "5" {
			t.Errorf("after a write to the %s copy it has %s, %v", name, v, err)
		}
	}
	if losses := mustLose(t, db); len(losses) > 0 {
		t.Errorf("it notes that something was lost: %+v", losses)
	}
}
