package engine

import (
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
)

// remote is a disk of a database server, which outlives its clients.
type remote struct {
	url, schema string
	dbs         []*postgres.DB
}

func (r *remote) open(t *testing.T) store.KV {
	t.Helper()
	db, err := postgres.Open(t.Context(), r.url, postgres.Options{Schema: r.schema})
	if err != nil {
		t.Fatal(err)
	}
	r.dbs = append(r.dbs, db)
	return db
}

func (r *remote) crash() {
	for _, db := range r.dbs {
		db.Abandon()
		_ = db.Close()
	}
	r.dbs = nil
}

// TestCrashEverywhereOnPostgreSQL is TestCrashEverywhere with the store in a database, at fewer moments.
func TestCrashEverywhereOnPostgreSQL(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	disk := func() disk { return &remote{url: s.URL(pgtest.User), schema: s.Schema()} }
	crashEverywhere(t, []lot{{"postgres", disk, Options{}}}, 3)
}
