package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// TestSessionsOfDeadServerAreEnded lets a connection of a server hang in a transaction that has locked a lease.
func TestSessionsOfDeadServerAreEnded(t *testing.T) {
	t.Parallel()
	s := pgtest.Shared(t)
	schema := s.Schema()
	dead, next := openAt(t, s.URL(pgtest.User), schema, Options{Name: "dead"}), openAt(t, s.URL(pgtest.User), schema, Options{})
	closing(t, next)
	apply(t, dead, set(item("lease", "dead")))
	config, err := pgx.ParseConfig(s.URL(pgtest.User))
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = dead.Session()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	hung, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hung.Close(context.Background()) }()
	if _, err := hung.Exec(t.Context(), "BEGIN; SELECT FROM "+schema+".rows WHERE k = 'lease' FOR SHARE"); err != nil {
		t.Fatal(err)
	}
	if n, err := next.EndSessions(t.Context(), "flawless somebody else", next.Session()); err != nil || n != 0 {
		t.Errorf("%d connections of others were ended, %v", n, err)
	}
	if n, err := next.EndSessions(t.Context(), dead.Session()); err != nil || n != 1 {
		t.Errorf("%d connections were ended, %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	b := set(item("lease", "next"))
	b.Expect = append(b.Expect, item("lease", "dead"))
	if err := next.Apply(ctx, b); err != nil {
		t.Errorf("claiming the lease: %v", err)
	}
	if err := hung.Ping(t.Context()); err == nil {
		t.Error("the connection that hung is still there")
	}
}
