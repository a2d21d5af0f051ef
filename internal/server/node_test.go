package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/cluster"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// connected is what an engine knows of its cluster if its database is away at times.
type connected struct {
	cluster.Roster
	cut atomic.Bool
}

func (c *connected) Away() (since time.Time, why string) {
	if c.cut.Load() {
		return time.Unix(1e9, 0), "no route to host"
	}
	return time.Time{}, ""
}

func (c *connected) Ready(context.Context) error {
	if c.cut.Load() {
		return errors.New("the database does not answer")
	}
	return nil
}

// aNode puts the row of a node called a into a store.
func aNode(t *testing.T, s *store.Store) *connected {
	t.Helper()
	if err := s.PutNode(t.Context(), nil, &flawless.Node{ID: "nod_1", Name: "a", Address: "localhost:1", Version: "1"}); err != nil {
		t.Fatal(err)
	}
	return &connected{Roster: cluster.Roster{Store: s, Self: "nod_1", Seen: func() cluster.View { return cluster.View{} }}}
}

// TestAwayDatabaseIsAnsweredAtOnce asks a server whose database is away: it answers what is about the server itself, and
// refuses everything else.
func TestAwayDatabaseIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	rt, err := guest.NewRuntime(t.Context(), guest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.Background()) })
	s, err := store.Open(t.Context(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	c := aNode(t, s)
	e, err := engine.Open(t.Context(), engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Owner: "nod_1", Cluster: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Kill)
	h := Handler(t.Context(), e, slog.New(slog.DiscardHandler))
	for _, row := range []struct {
		path         string
		whole, apart int
		says         string
	}{
		{"/livez", 200, 200, "ok"},
		{"/readyz", 200, 503, "has not answered"},
		{"/api/v1/health", 200, 503, `"disconnected"`},
		{"/api/v1/version", 200, 200, "version"},
		{"/metrics", 200, 200, "flawless_"},
		{"/api/v1/runs", 200, 503, "has not answered since 2001-09-09T01:46:40Z: no route to host"},
		{"/api/v1/runs/x", 404, 503, "send the request again"},
		{"/api/v1/nodes", 200, 503, "Calls in flight are kept"},
	} {
		for _, cut := range []bool{false, true} {
			c.cut.Store(cut)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", row.path, nil))
			want := row.whole
			if cut {
				want = row.apart
			}
			if w.Code != want || cut && !strings.Contains(w.Body.String(), row.says) {
				t.Errorf("GET %s while the database is away: %v: status %d, want %d with %q: %s", row.path, cut, w.Code, want, row.says, w.Body)
			}
		}
	}
}
