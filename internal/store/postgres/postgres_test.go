package postgres

import (
	"os"
	"testing"

	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// open opens a database in a schema of its own on the shared server.
func open(t testing.TB, o Options) *DB {
	t.Helper()
	s := pgtest.Shared(t)
	return openAt(t, s.URL(pgtest.User), s.Schema(), o)
}

func openAt(t testing.TB, url, schema string, o Options) *DB {
	t.Helper()
	o.Schema = schema
	db, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.KV { return open(t, Options{}) })
}
