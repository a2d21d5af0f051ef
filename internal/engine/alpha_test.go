package engine

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// older are guests made with the published crates 1.0.0-alpha.16 and 1.0.0-beta.1.
var older = sync.OnceValues(func() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range []string{"alpha", "beta1"} {
		bin, err := os.ReadFile(filepath.Join("testdata", name, "module.wasm"))
		if err != nil {
			return nil, err
		}
		out[name] = bin
	}
	return out, nil
})

var compiledOlder = compiled(older)

func openOlder(t testing.TB, kv store.KV, o Options) *Engine {
	t.Helper()
	return openWith(t, kv, o, older, compiledOlder)
}

func TestAlphaCrates(t *testing.T) {
	t.Parallel()
	s := oldServer(t)
	kv := mem.New()
	v := newVault(t, kv)
	web := effect.NewClient(effect.ClientOptions{}, v.Open)
	t.Cleanup(web.Close)
	e := openOlder(t, kv, Options{Vault: v, Kinds: effect.Kinds(effect.Options{HTTP: web})})
	if _, err := e.SetSecret(t.Context(), "TOKEN", []string{s.URL}, "correct-horse-battery"); err != nil {
		t.Fatal(err)
	}
	type task struct {
		URL string `json:"url"`
		N   int    `json:"n"`
	}
	for _, row := range []struct {
		what, workflow string
		in             any
		status         flawless.Status
		want           string // in the data or the failure
	}{
		{"data", "hello", "Flawless", flawless.Completed, `"Hello Flawless"`},
		{"input that does not fit", "hello", 7, flawless.Failed, "Failed to deserialize JSON `7` as `alloc::string::String`"},
		{"answers", "once", task{s.URL + "/a", 1}, flawless.Completed, `["200 a seen 1","200 a seen 2"]`},
		{"a status", "once", task{s.URL + "/gone", 1}, flawless.Completed, `["status 410: seen 1","status 410: seen 2"]`},
		{"a redirect", "once", task{URL: s.URL + "/moved"}, flawless.Completed, `200 here auth`},
		{"redirects without end", "once", task{URL: s.URL + "/loop"}, flawless.Completed, "TooManyRedirects: "},
		{"nobody listens", "once", task{URL: deadURL}, flawless.Completed, "ConnectionFailed: "},
		{"a GET without an answer", "once", task{URL: s.URL + "/cut"}, flawless.Completed, "Io: "},
		{"a GET that takes too long", "once", task{URL: s.URL + "/slow"}, flawless.Completed, "Io: timed out"},
		{"a POST without an answer", "once", task{s.URL + "/cutlater", 1}, flawless.Unresolved, ""},
		{"randomness, time and secrets", "draw", nil, flawless.Completed, `,true,null]`},
		{"a panic", "panic", task{N: 3}, flawless.Failed, "index out of bounds: the len is 0 but the index is 3"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			r := startRust(t, e, "alpha", row.workflow, row.in)
			r = until(t, e, r.ID, func(r flawless.Run) bool { return r.Status.Ended() || r.Status == flawless.Unresolved })
			got := ""
			if d, err := e.Data(t.Context(), r.ID); err == nil {
				got = string(d)
			}
			if r.Failure != nil {
				got = r.Failure.Message
			}
			if r.Status != row.status || !strings.Contains(got, row.want) {
				t.Errorf("it is %s: %s, %+v; want %q", r.Status, got, r.Failure, row.want)
			}
			if r.Status.Ended() {
				if err := e.verify(t.Context(), r.ID); err != nil {
					t.Errorf("the replay: %v", err)
				}
			}
		})
	}
}

// TestAlphaState counts in one state from several runs, while the server is stopped and started.
func TestAlphaState(t *testing.T) {
	t.Parallel()
	const runs, times = 4, 6
	o := newOutside(t)
	kv := mem.New()
	e := openOlder(t, kv, Options{})
	var ids []string
	for range runs {
		ids = append(ids, startRust(t, e, "alpha", "count", map[string]any{"url": o.URL, "n": times}).ID, startRust(t, e, "alpha", "hold", nil).ID)
	}
	until(t, e, ids[0], func(r flawless.Run) bool { return r.Calls > 5 })
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e = openOlder(t, kv, Options{})
	for _, id := range ids {
		if r := mustEnd(t, e, id); r.Status != flawless.Completed {
			t.Errorf("it is %+v %+v", r, r.Failure)
		}
		if err := e.verify(t.Context(), id); err != nil {
			t.Errorf("the replay: %v", err)
		}
	}
	st, err := e.States().State(t.Context(), "alpha counter")
	if want := fmt.Sprint(runs * (times + 1)); err != nil || string(st.Value) != want || st.Holder != nil {
		t.Errorf("the state is %+v, %v; want %s", st, err, want)
	}
}

// TestFirstBetaBodies are arrays of numbers, in both directions.
func TestFirstBetaBodies(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	t.Cleanup(s.Close)
	e := openOlder(t, mem.New(), Options{})
	r := mustEnd(t, e, startRust(t, e, "beta1", "echo", s.URL).ID)
	if string(r.Output) != "[0,9,127,255]" {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
	if err := e.verify(t.Context(), r.ID); err != nil {
		t.Errorf("the replay: %v", err)
	}
}

// TestModuleOfOtherAlphaIsRefused: its commands have other numbers.
func TestModuleOfOtherAlphaIsRefused(t *testing.T) {
	t.Parallel()
	all, err := older()
	if err != nil {
		t.Fatal(err)
	}
	bin := bytes.ReplaceAll(all["alpha"], []byte("flawless-1.0.0-alpha.16"), []byte("flawless-1.0.0-alpha.15"))
	_, _, err = open(t, mem.New(), Options{}).AddModule(t.Context(), "alpha", bin, nil)
	if flawless.CodeOf(err) != flawless.Refused || !strings.Contains(err.Error(), "flawless 1.0.0-alpha.15") || !strings.Contains(err.Error(), "1.0.0-alpha.16, 1.0.0-beta.1") {
		t.Error(err)
	}
}
