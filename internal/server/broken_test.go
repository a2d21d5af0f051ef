package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// failing is a database that fails as a whole.
type failing struct {
	*mem.DB
	failed atomic.Bool
}

func (f *failing) Full() (bool, string) { return false, "" }

func (f *failing) Failed() error {
	if f.failed.Load() {
		return errors.New("the disk is broken")
	}
	return nil
}

// TestRequestsAfterStoreFailure get 503 with the reason, and the health reports it.
func TestRequestsAfterStoreFailure(t *testing.T) {
	t.Parallel()
	alone(t)
	rt, err := guest.NewRuntime(t.Context(), guest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kv := &failing{DB: mem.New()}
	s, err := store.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	e, err := openEngine(t.Context(), engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Space: kv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Kill()
		_ = rt.Close(context.Background())
	})
	web := httptest.NewServer(handlerFor(t.Context(), t, e, slog.New(slog.DiscardHandler)))
	t.Cleanup(web.Close)
	kv.failed.Store(true)
	<-e.Broken()
	for _, path := range []string{"/api/v1/runs", "/api/v1/runs/x", "/api/v1/modules", "/api/v1/version", "/version", "/openapi.json"} {
		r, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var p reply.Problem
		err = json.NewDecoder(r.Body).Decode(&p)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != http.StatusServiceUnavailable || p.Code != flawless.Stopping || !strings.Contains(p.Detail, "the disk is broken") {
			t.Errorf("GET %s: %d, %+v, %v", path, r.StatusCode, p, err)
		}
	}
	r, err := http.Get(web.URL + "/api/v1/health")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var h flawless.Health
	if err := json.NewDecoder(r.Body).Decode(&h); err != nil || r.StatusCode != http.StatusServiceUnavailable || h.State != "broken" || !strings.Contains(h.Message, "the disk is broken") {
		t.Errorf("the health: %d, %+v, %v", r.StatusCode, h, err)
	}
}
