package engine

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/core"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestInvisibleMessageKeysAndTypesAreRefused: a key that cannot be seen in a list is most likely a variable that was not set.
func TestInvisibleMessageKeysAndTypesAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	for _, row := range []struct {
		kind, key string
		want      error
	}{
		{"a", " ", flawless.Invalid}, {"a", "k\u200b", flawless.Invalid}, {"a", "k\n", flawless.Invalid}, {"a", strings.Repeat("k", flawless.MaxID+1), flawless.Invalid},
		{" ", "k", flawless.Invalid}, {"a\x00", "k", flawless.Invalid}, {"", "k", flawless.Invalid},
		{"a note", "approval 17", flawless.NotFound}, {"a", "", flawless.NotFound}, {"a/b", ".", flawless.NotFound}, // there is no such run
	} {
		if _, err := e.Send(t.Context(), "x", flawless.Message{Type: row.kind, Key: row.key, Body: flawless.Bytes("1")}); !errors.Is(err, row.want) {
			t.Errorf("type %q, key %q: %v, want %v", row.kind, row.key, err, row.want)
		}
	}
}

// TestModuleDeclaresHostsThatHonourKeys: the module says so of localhost. A request to it whose answer is lost is
// sent again under its key, unless the operator says of the host that it does not honour keys.
func TestModuleDeclaresHostsThatHonourKeys(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, host string
		operator   time.Duration // what the operator says of localhost, 0 is nothing
		rule       string        // why it is sent again, "" where it is not
	}{
		{"the module", "localhost", 0, "honoured for 24h (the module)"},
		{"the operator, too", "localhost", time.Hour, "honoured for 1h (host localhost)"},
		{"not as the operator says", "localhost", -time.Millisecond, ""},
		{"another host", "127.0.0.1", 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var sent []string
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				defer mu.Unlock()
				if sent = append(sent, r.Header.Get("Idempotency-Key")); len(sent) == 1 {
					panic(http.ErrAbortHandler) // after it has taken effect
				}
			}))
			t.Cleanup(s.Close)
			e := open(t, mem.New(), Options{})
			defer e.Kill()
			if row.operator != 0 {
				if _, err := e.Policy().ChangeHost(t.Context(), "localhost", func(h *flawless.Host) { h.KeyMS = row.operator.Milliseconds() }); err != nil {
					t.Fatal(err)
				}
			}
			id := mustBegin(t, e, Start{Module: "guest", Workflow: "chain"}, map[string]any{"url": strings.Replace(s.URL, "127.0.0.1", row.host, 1), "n": 1}).ID
			r := until(t, e, id, func(r flawless.Run) bool { return unresolved(r) || len(r.Retrying) > 0 })
			if row.rule == "" {
				if !unresolved(r) {
					t.Errorf("it is retrying: %+v", r.Retrying)
				}
				return
			}
			if unresolved(r) || !strings.Contains(r.Retrying[0].Rule, row.rule) {
				t.Fatalf("it is %+v %+v, want %q", r.Retrying, r.Unresolved, row.rule)
			}
			if _, err := e.Urge(t.Context(), id, core.RetryDecision{Call: r.Retrying[0].Call}); err != nil {
				t.Fatal(err)
			}
			r = mustEnd(t, e, id)
			mu.Lock()
			defer mu.Unlock()
			if r.Status != flawless.Completed || len(sent) != 2 || sent[0] != sent[1] {
				t.Errorf("it is %s %+v with the keys %q", r.Status, r.Failure, sent)
			}
		})
	}
}
