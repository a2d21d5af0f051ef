package postgres

import (
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/postgres/pgtest"
	"github.com/flawless-engine/flawless/internal/store/storetest"
)

// TestConformsBehindPooler runs the suite behind PgBouncer in transaction mode, with fewer connections to the server than
// the store has to the pooler.
func TestConformsBehindPooler(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	url := s.Pooled(t, pgtest.User, 6)
	storetest.Run(t, func(t *testing.T) store.KV { return openAt(t, url, s.Schema(), Options{}) })
}

func TestUnknownPoolersAreRefused(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"pool=", "pool=pgpool", "pool=pgbouncer&pool=pgbouncer", "pool=PgBouncer"} {
		expectRefusal(t, "postgres://tester:hunter2@127.0.0.1/test?"+query, "x", flawless.Invalid, "unknown pool", "pool=pgbouncer")
	}
	config, pooled, err := parse("postgres://tester@127.0.0.1/test?application_name=a%26b&pool=pgbouncer")
	if err != nil || !pooled || config.ConnConfig.RuntimeParams["application_name"] != "a&b" || strings.Contains(config.ConnString(), "pool") {
		t.Errorf("parse: %v, %v, %v", config, pooled, err)
	}
}
