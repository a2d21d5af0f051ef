package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// editions are the versions of the guest of testdata, each built and compiled once.
var editions struct {
	sync.Mutex
	built    map[string][]byte
	compiled []*guest.Module
}

func edition(t testing.TB, name string) []byte {
	t.Helper()
	if f := fixture(); f.err != nil {
		t.Fatal(f.err)
	}
	editions.Lock()
	defer editions.Unlock()
	if editions.built[name] == nil {
		out := filepath.Join(t.TempDir(), "guest.wasm")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-X main.edition="+name, "-o", out, ".")
		cmd.Dir = filepath.Join("testdata", "guest")
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		m, err := fixture().runtime.Load(context.Background(), b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if editions.built == nil {
			editions.built = map[string][]byte{}
		}
		editions.built[name], editions.compiled = b, append(editions.compiled, m)
	}
	return editions.built[name]
}

// compiledEditions are those that were built.
func compiledEditions() []*guest.Module {
	editions.Lock()
	defer editions.Unlock()
	return slices.Clone(editions.compiled)
}

// echoing are kinds of calls where http needs no network: each is answered with its path.
func echoing(seen func(path string)) []effect.Kind {
	kinds := effect.Kinds(effect.Options{})
	for i := range kinds {
		if kinds[i].Name == effect.HTTP {
			kinds[i].Perform = func(_ context.Context, try effect.Attempt) effect.Result {
				path := try.Policy.Title
				if _, raw, ok := strings.Cut(path, " "); ok {
					if u, err := url.Parse(raw); err == nil {
						path = u.Path
					}
				}
				if seen != nil {
					seen(path)
				}
				a, err := effect.ResponseAnswer(try.Call.N, 200, []byte("did "+path))
				if err != nil {
					panic(err)
				}
				return effect.Result{Outcome: effect.Answered, Answer: a}
			}
		}
	}
	return kinds
}

// asleep starts a run of revised and lets it come to its sleep.
func asleep(t *testing.T, e *Engine, id string, n int) {
	t.Helper()
	mustStart(t, e, "revised", Task{URL: "http://outside.test", N: n}, id)
	synctest.Wait()
	r, err := e.Run(context.Background(), id)
	if err != nil || r.Status != flawless.Waiting || r.Turns < 2 {
		t.Fatalf("it is %+v, %v", r, err)
	}
}

// Task is the input of most workflows of the guest.
type Task struct {
	URL string `json:"url"`
	N   int    `json:"n"`
}

func TestReplayComparesCallsOnly(t *testing.T) {
	names := []string{"lines", "reordered", "other", "early", "fixed"}
	bins := map[string][]byte{}
	for _, name := range names {
		bins[name] = edition(t, name)
	}
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer e.Kill()
		asleep(t, e, "run", 1)
		own, err := e.Replay(context.Background(), "run", nil)
		if err != nil || own.Divergence != nil || !own.Own || own.Turns < 2 || own.Calls != 3 || own.Hash == "" {
			t.Fatalf("with its own module: %+v, %v", own, err)
		}
		if len(own.Lines) > 0 {
			t.Errorf("it printed what is in its log already: %v", own.Lines)
		}
		for _, row := range []struct {
			name, edition, logged, asked string
		}{
			{"more lines and computation", "lines", "", ""},
			{"calls of one turn in another order", "reordered", "", ""},
			{"code behind what is logged", "fixed", "", ""},
			{"another request", "other", "/right", "/elsewhere"},
			{"a call in an earlier turn", "early", "nothing", "/last"},
		} {
			got, err := e.Replay(context.Background(), "run", bins[row.edition])
			if err != nil {
				t.Fatal(err)
			}
			if row.asked == "" {
				if got.Divergence != nil || got.Turns != own.Turns || got.Own {
					t.Errorf("%s: it is %+v: %v", row.name, got, got.Divergence)
				}
				if n := len(got.Lines); n != map[string]int{"lines": 100}[row.edition] || n > 0 && (got.Lines[99].Turn != 1 || got.Lines[99].Text != "counting") {
					t.Errorf("%s: it printed %v", row.name, got.Lines)
				}
				continue
			}
			if len(got.Lines) > 0 {
				t.Errorf("%s: it printed %v", row.name, got.Lines)
			}
			text := fmt.Sprint(got.Divergence)
			if got.Divergence == nil || !strings.Contains(text, row.logged) || !strings.Contains(text, row.asked) || got.Divergence.AskedSite == "" {
				t.Errorf("%s: it is %+v: %v", row.name, got, text)
			}
		}
		r, err := e.Wait(context.Background(), "run")
		if err != nil || string(r.Output) != `"100 did /last"` {
			t.Errorf("the run became %+v, %v", r, err)
		}
	})
}

func TestFailedRunReplays(t *testing.T) {
	fixed := edition(t, "fixed")
	inVirtualTime(t, func(t *testing.T) {
		e := open(t, mem.New(), Options{Kinds: echoing(nil)})
		defer e.Kill()
		asleep(t, e, "run", 0)
		time.Sleep(25 * time.Hour)
		r, err := e.Wait(context.Background(), "run")
		if err != nil || r.Status != flawless.Failed {
			t.Fatalf("it is %+v, %v", r, err)
		}
		own, err := e.Replay(context.Background(), "run", nil)
		if err != nil || own.Divergence != nil || own.Turns != r.Turns {
			t.Errorf("with its own module: %+v %v, %v", own, own.Divergence, err)
		}
		got, err := e.Replay(context.Background(), "run", fixed)
		if err != nil || got.Divergence == nil {
			t.Fatalf("with other code: %+v, %v", got, err)
		}
		d := got.Divergence
		if d.Turn != r.Turns || d.LoggedEnd == nil || d.LoggedEnd.Failure == nil || d.Asked == nil || !errors.Is(d, flawless.Diverged) {
			t.Errorf("it diverged with %v", d)
		}
	})
}

func TestImpossibleReplaysAreRefused(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{})
	mustStart(t, e, "empty", 1, "run")
	for name, row := range map[string]struct {
		id   string
		bin  []byte
		code flawless.Code
	}{
		"no such run":     {"none", nil, flawless.NotFound},
		"no id":           {"", nil, flawless.Invalid},
		"no WebAssembly":  {"run", []byte("text"), flawless.Invalid},
		"too large":       {"run", make([]byte, MaxModule+1), flawless.TooLarge},
		"another program": {"run", []byte("\x00asm\x01\x00\x00\x00"), flawless.Refused},
	} {
		if _, err := e.Replay(t.Context(), row.id, row.bin); !errors.Is(err, row.code) {
			t.Errorf("%s: %v, want %s", name, err, row.code)
		}
	}
}

// TestReplayIgnoresRetryPolicy replays a log whose calls were made with other time-outs, retries and
// limits, and then one whose calls asked for something else.
func TestReplayIgnoresRetryPolicy(t *testing.T) {
	t.Parallel()
	e := open(t, mem.New(), Options{Kinds: echoing(nil)})
	in := map[string]any{"url": "http://outside.test", "steps": []any{map[string]any{"post": "/a"}, map[string]any{"both": []any{map[string]any{"post": "/b"}, map[string]any{"put": "/b"}}}}}
	mustStart(t, e, "script", in, "run")
	mustComplete(t, e, "run", `["did /a","did /b","did /b"]`)
	replayed := func(changes map[string]any) flawless.Replay {
		t.Helper()
		log, err := e.Log(t.Context(), "run", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range log {
			for _, x := range rec.Entries {
				if x.Turn == nil {
					continue
				}
				for i, c := range x.Turn.Calls {
					if c.Kind != effect.HTTP {
						continue
					}
					var head map[string]any
					if err := json.Unmarshal(c.Head, &head); err != nil {
						t.Fatal(err)
					}
					maps.Copy(head, changes)
					if x.Turn.Calls[i].Head, err = json.Marshal(head); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		r, err := replay.Run(t.Context(), fixture().module, "run", replay.Records(log), replay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	policy := map[string]any{"timeout_ms": 7, "limit": 8, "on_unknown": "tell", "longer": "cut", "redirects": 0, "idempotent": true, "retry": map[string]any{"attempts": 9}, "at": "old.go:1"}
	if r := replayed(policy); r.Divergence != nil || r.Turns != r.Of {
		t.Errorf("with another policy it is %+v, %v", r, r.Divergence)
	}
	d := replayed(map[string]any{"url": "http://elsewhere.test/a"}).Divergence
	if d == nil || d.Logged == nil || d.Asked == nil {
		t.Fatalf("with another address it is %+v", d)
	}
	if u := d.Logged.Mismatches(*d.Asked); len(u) != 1 || u[0].Field != "url" || !strings.Contains(d.Error(), "(url)") {
		t.Errorf("what differs is %+v: %v", u, d)
	}
}
