package daemon

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// TestCAFileIsTrusted calls a server that the machine does not trust.
func TestCAFileIsTrusted(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		files []string
		want  effect.Outcome
	}{{nil, effect.NotSent}, {[]string{ca}, effect.Answered}} {
		o, err := (&Outside{CA: row.files}).options()
		if err != nil {
			t.Fatal(err)
		}
		c := effect.NewClient(o, nil)
		defer c.Close()
		made := flawless.Call{N: 1, Kind: effect.HTTP, Head: []byte(`{"method":"GET","url":"` + s.URL + `"}`)}
		if r := c.Perform(t.Context(), effect.Attempt{Run: "wkf_x", Call: made, N: 1}); r.Outcome != row.want {
			t.Errorf("with %v: outcome %d, %s", row.files, r.Outcome, r.Text)
		}
	}
}

func TestOutsideOptions(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		o    Outside
		says string
	}{
		{Outside{Proxy: "env"}, "--proxy env needs HTTPS_PROXY or HTTP_PROXY"},
		{Outside{NoProxy: "a.test"}, "--no-proxy needs --proxy"},
		{Outside{Proxy: "proxy.test:3128"}, "give http://HOST:PORT"},
		{Outside{CA: []string{empty}}, "contains no certificate"},
		{Outside{CA: []string{empty + ".not"}}, "no such file"},
	} {
		if _, err := row.o.options(); !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%+v: %v", row.o, err)
		}
	}
	t.Setenv("HTTPS_PROXY", "http://proxy.test:3128")
	t.Setenv("NO_PROXY", "inside.test")
	if !(&Outside{}).ignoresEnvironment() {
		t.Error("a proxy of the environment that is not used is not noticed")
	}
	got, err := (&Outside{Proxy: "env"}).options()
	if want := (effect.Proxy{URL: "http://proxy.test:3128", Except: "inside.test"}); err != nil || got.Proxy != want {
		t.Errorf("%+v, %v", got.Proxy, err)
	}
}
