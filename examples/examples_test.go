package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/tsbuild"
)

// build compiles an example.
func build(t *testing.T, name string, flags ...string) []byte {
	t.Helper()
	if _, err := os.Stat(filepath.Join(name, "package.json")); err == nil {
		b, err := tsbuild.Build(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return b.Module
	}
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.Command("go", append(append([]string{"build", "-buildmode=c-shared", "-o", out}, flags...), ".")...)
	cmd.Dir = name
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open returns an engine with the example.
func open(t *testing.T, name string, bin []byte, kinds []effect.Kind) *engine.Engine {
	t.Helper()
	rt, err := guest.NewRuntime(context.Background(), guest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(context.Background(), mem.New())
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(context.Background(), engine.Options{Store: s, Guest: rt, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Kill()
		_ = rt.Close(context.Background())
	})
	if _, _, err := e.AddModule(context.Background(), name, bin, nil); err != nil {
		t.Fatal(err)
	}
	return e
}

// run starts the example's workflow and waits for its end.
func run(t *testing.T, e *engine.Engine, name string, in any) flawless.Run {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := e.Start(context.Background(), engine.Start{Module: name, Workflow: name, Input: b, ID: name})
	if err == nil {
		r, err = e.Wait(context.Background(), r.ID)
	}
	if err != nil {
		t.Fatalf("%v; it is %+v", err, r)
	}
	return r
}

func real() []effect.Kind { return effect.Kinds(effect.Options{}) }

func TestHello(t *testing.T) {
	t.Parallel()
	r := run(t, open(t, "hello", build(t, "hello"), real()), "hello", map[string]string{"name": "Ann"})
	if r.Status != flawless.Completed || !strings.Contains(string(r.Output), "Hello, Ann!") {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
}

func TestCrawlFetchesAllPagesWithBoundedConcurrency(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most, seen := 0, 0, map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		seen[r.URL.Path]++
		mu.Unlock()
		fmt.Fprint(w, "page")
		mu.Lock()
		now--
		mu.Unlock()
	}))
	defer s.Close()
	r := run(t, open(t, "crawl", build(t, "crawl"), real()), "crawl", map[string]any{"base": s.URL + "/"})
	if r.Status != flawless.Completed || len(seen) != 50 {
		t.Fatalf("it is %+v %+v, %d pages were seen", r, r.Failure, len(seen))
	}
	if most > 8 {
		t.Errorf("%d requests at once, at most 8 are wanted", most)
	}
	var out struct{ Bad, Bytes int }
	if err := json.Unmarshal(r.Output, &out); err != nil || out.Bad != 0 || out.Bytes != 200 {
		t.Errorf("output %s, %v", r.Output, err)
	}
}

// TestCheckoutIsAllOrNothing lets each service fail in turn.
func TestCheckoutIsAllOrNothing(t *testing.T) {
	t.Parallel()
	bin := build(t, "checkout")
	for _, fails := range []string{"", "/stock", "/charges", "/shipments"} {
		t.Run("failing "+fails, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			open_ := map[string]bool{}
			made := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				defer mu.Unlock()
				if r.Method == http.MethodDelete {
					delete(open_, r.URL.Path)
					return
				}
				if r.URL.Path == fails {
					w.WriteHeader(http.StatusConflict)
					return
				}
				made++
				id := fmt.Sprintf("n%d", made)
				open_[r.URL.Path+"/"+id] = true
				w.WriteHeader(http.StatusCreated)
				fmt.Fprintf(w, `{"id":%q}`, id)
			}))
			defer s.Close()
			r := run(t, open(t, "checkout", bin, real()), "checkout", map[string]any{"id": "1", "item": "book", "quantity": 1, "card": "c", "cents": 5, "services": s.URL})
			switch {
			case fails == "" && (r.Status != flawless.Completed || len(open_) != 3):
				t.Errorf("it is %+v %+v, there are %v", r, r.Failure, open_)
			case fails != "" && (r.Status != flawless.Failed || len(open_) != 0):
				t.Errorf("it is %+v %+v, left over are %v", r, r.Failure, open_)
			}
		})
	}
}

// TestReminderSleepsForDays simulates days in virtual time.
func TestReminderSleepsForDays(t *testing.T) {
	bin := build(t, "reminder")
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		kinds := real()
		for i := range kinds {
			if kinds[i].Name == effect.HTTP { // network calls do not advance virtual time
				kinds[i].Perform = func(_ context.Context, try effect.Attempt) effect.Result {
					at = append(at, time.Now())
					a, err := effect.ResponseAnswer(try.Call.N, 200, nil)
					if err != nil {
						t.Error(err)
					}
					return effect.Result{Outcome: effect.Answered, Answer: a}
				}
			}
		}
		e := open(t, "reminder", bin, kinds)
		began := time.Now()
		r := run(t, e, "reminder", map[string]any{"url": "http://localhost/", "text": "pay", "times": 3, "every_days": 7, "days": 7})
		e.Kill()
		if r.Status != flawless.Completed {
			t.Fatalf("it is %+v %+v", r, r.Failure)
		}
		if len(at) < 2 || time.Since(began) < 24*time.Hour {
			t.Errorf("%d reminders in %v", len(at), time.Since(began))
		}
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < 23*time.Hour {
				t.Errorf("reminders at %v", at)
			}
		}
	})
}
