package engine

import (
	"fmt"
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

// TestCrashEverywhereBetweenEnginesOnPostgreSQL is TestCrashEverywhereBetweenEngines with the store in a database, to which
// each engine has connections of its own, at fewer moments.
func TestCrashEverywhereBetweenEnginesOnPostgreSQL(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	for dies, name := range []string{"the asking engine", "the asked one"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after the write %v", name, after), func(t *testing.T) {
				t.Parallel()
				step, n := 3, 1
				if testing.Short() {
					step = 19
				}
				for died := true; died; n += step {
					d := &remote{url: s.URL(pgtest.User), schema: s.Schema()}
					died = crashBetween(t, d.open(t), d.open(t), dies, n, after, 0)
					d.crash()
				}
				if n < 20 {
					t.Errorf("it died at less than %d writes: the test proves nothing", n)
				}
			})
		}
	}
}
