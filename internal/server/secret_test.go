package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// TestRejectedSecretIsNotQuoted in the answer or in the log of the server, whatever is wrong with the request.
func TestRejectedSecretIsNotQuoted(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	rt, err := guest.NewRuntime(t.Context(), guest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	v := newVault(t, s, t.TempDir())
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := openEngine(t.Context(), engine.Options{Store: s, Guest: rt, Kinds: effect.Kinds(effect.Options{}), Vault: v, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(handlerFor(t.Context(), t, e, logger))
	for name, row := range map[string]struct {
		path, body string
		status     int
	}{
		"no JSON":             {"TOKEN", `{"value":"sesame`, 400},
		"a value in a list":   {"TOKEN", `{"value":["sesame"]}`, 400},
		"hosts in a string":   {"TOKEN", `{"value":"open sesame","hosts":"a.example.com"}`, 400},
		"no host":             {"TOKEN", `{"value":"open sesame"}`, 400},
		"a host that is none": {"TOKEN", `{"value":"open sesame","hosts":["a b"]}`, 400},
		"a bad name":          {"T.N", `{"value":"open sesame","hosts":["a.example.com"]}`, 400},
		"a short value":       {"TOKEN", `{"value":"sesame","hosts":["a.example.com"]}`, 400},
		"too much":            {"TOKEN", `{"value":"` + strings.Repeat("sesame", maxBody/6) + `"}`, 413},
		"as it should be":     {"OTHER", `{"value":"open sesame","hosts":["a.example.com"]}`, 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, web.URL+"/api/v1/secrets/"+row.path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != row.status || strings.Contains(string(text), "sesame") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, text)
		}
	}
	web.Close()
	e.Kill()
	_ = rt.Close(context.Background())
	if strings.Contains(log.String(), "sesame") {
		t.Errorf("the log contains the value: %s", log.String())
	}
}
