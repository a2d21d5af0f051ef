package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/rusttest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
	"github.com/flawless-engine/flawless/internal/value"
)

// crates are the guests of sdk/rust/guests, built once for all tests: plain functions, and async ones.
var crates = sync.OnceValues(func() (map[string][]byte, error) {
	out := map[string][]byte{}
	var err error
	for _, name := range []string{"plain", "beside"} {
		for _, target := range []string{rusttest.WASI, rusttest.Unknown} {
			bin, e := rusttest.Build(filepath.Join("..", "..", "sdk", "rust", "guests", name), target)
			key := name
			if target == rusttest.Unknown {
				key += "-unknown"
			}
			out[key], err = bin, errors.Join(err, e)
		}
	}
	return out, err
})

// compiled are guests, compiled once for all engines of the tests.
func compiled(bins func() (map[string][]byte, error)) func() ([]*guest.Module, error) {
	return sync.OnceValues(func() ([]*guest.Module, error) {
		all, err := bins()
		f := fixture()
		if err = errors.Join(err, f.err); err != nil {
			return nil, err
		}
		var out []*guest.Module
		for _, bin := range all {
			m, err := f.runtime.Load(context.Background(), bin, nil)
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
		return out, nil
	})
}

var compiledCrates = compiled(crates)

// openRust opens an engine that has the guests in Rust.
func openRust(t testing.TB, kv store.KV, o Options) *Engine {
	t.Helper()
	return openWith(t, kv, o, crates, compiledCrates)
}

// openWith opens an engine that has these modules besides its own.
func openWith(t testing.TB, kv store.KV, o Options, bins func() (map[string][]byte, error), modules func() ([]*guest.Module, error)) *Engine {
	t.Helper()
	all, err := bins()
	if err == nil {
		o.Loaded, err = modules()
	}
	rusttest.Check(t, err)
	e := open(t, kv, o)
	for name, bin := range all {
		if _, _, err := e.AddModule(t.Context(), name, bin, nil); err != nil {
			t.Fatalf("adding %s: %v", name, err)
		}
	}
	return e
}

func startRust(t testing.TB, e *Engine, module, workflow string, in any) flawless.Run {
	t.Helper()
	r, _, err := e.Start(t.Context(), Start{Module: module, Workflow: workflow, Input: input(t, in)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// page is a server whose pages are their own paths, /slow after a moment and /flaky at the third try.
func page(t testing.TB) *httptest.Server {
	var flaky atomic.Int32
	var mu sync.Mutex
	seen := map[string]int{} // by Idempotency-Key
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			select {
			case <-time.After(200 * time.Millisecond):
			case <-r.Context().Done():
			}
		case "/flaky":
			if flaky.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/cutonce":
			mu.Lock()
			key := r.Header.Get("Idempotency-Key")
			seen[key]++
			again := seen[key] > 1
			mu.Unlock()
			if !again {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, "did /cutonce after asking")
			return
		case "/asked":
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprintf(w, "%s %s", r.Header.Get("X-Guest"), r.URL.Path)
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

func TestRustWorkflows(t *testing.T) {
	t.Parallel()
	s := page(t)
	e := openRust(t, mem.New(), Options{RetryFor: new(time.Duration(0))})
	for _, row := range []struct {
		what, workflow string
		only           string // in these modules only
		in             any
		status         flawless.Status
		want           string // in the output or the failure
	}{
		{"a page", "get", "", s.URL + "/a", flawless.Completed, ` /a"]`},
		{"a name that is none", "get", "", "http://no.invalid/", flawless.Failed, "no.invalid"},
		{"a URL that is none", "get", "", "nonsense", flawless.Failed, "scheme"},
		{"posting", "post", "", s.URL + "/a", flawless.Completed, "answered 200"},
		{"a connection that breaks", "post", "", s.URL + "/cut", flawless.Completed, "interrupted call"},
		{"nobody listens", "post", "", deadURL, flawless.Completed, "not sent (dial)"},
		{"trying again", "retry", "plain", s.URL + "/flaky", flawless.Completed, "200"},
		{"the order in which answers come", "first-come", "plain", []string{s.URL + "/slow", s.URL + "/b"}, flawless.Completed, `[" /b"," /slow"]`},
		{"waiting for a moment, plain", "impatient", "plain", s.URL + "/slow", flawless.Completed, `[false," /slow"]`},
		{"waiting for a moment, async", "impatient", "beside", s.URL + "/slow", flawless.Completed, `[false," /slow"]`},
		{"all at once", "all", "beside", []string{s.URL + "/slow", s.URL + "/b"}, flawless.Completed, `[" /slow"," /b"]`},
		{"panics in a function", "panic", "plain", 7, flawless.Failed, "index out of bounds"},
		{"panics in a task", "panic", "beside", nil, flawless.Failed, "the task cannot go on"},
		{"an error with a source", "fail", "plain", nil, flawless.Failed, "invalid digit"},
		{"waiting for nothing", "stuck", "beside", nil, flawless.Failed, "waits for nothing"},
		{"blocking where it must not", "block", "beside", nil, flawless.Failed, "use `.await`"},
		{"randomness", "random", "plain", nil, flawless.Completed, "["},
		{"lines", "tell", "", nil, flawless.Completed, "wkf_"},
		{"sleeping", "sleep", "plain", nil, flawless.Completed, "[30,40,"},
		{"children", "parent", "beside", nil, flawless.Completed, `[13,"failed panic"]`},
		{"a request that is confirmed", "confirm", "beside", s.URL, flawless.Completed, `"did /cutonce after asking"`},
		{"messages, when one gives up", "heirs", "beside", nil, flawless.Completed, "[true,7,8]"},
		{"everything in a plain function", "together", "plain", nil, flawless.Completed, `,true]`},
		{"things beside each other", "beside", "beside", nil, flawless.Completed, "[1,["},
	} {
		for _, module := range []string{"plain", "beside", "plain-unknown", "beside-unknown"} {
			if !strings.HasPrefix(module, row.only) {
				continue
			}
			t.Run(row.what+" in "+module, func(t *testing.T) {
				t.Parallel()
				if module == "plain-unknown" && row.workflow == "sleep" {
					row.want = "[" // less than on wasi
				}
				r := startRust(t, e, module, row.workflow, row.in)
				r = mustEnd(t, e, r.ID)
				got := string(r.Output)
				if r.Failure != nil {
					got = r.Failure.Message
				}
				if r.Status != row.status || !strings.Contains(strings.ReplaceAll(got, strings.Split(module, "-")[0]+" ", " "), row.want) {
					t.Errorf("it is %s: %s, %+v; want %q", r.Status, got, r.Failure, row.want)
				}
				if err := e.verify(t.Context(), r.ID); err != nil {
					t.Errorf("the replay: %v", err)
				}
			})
		}
	}
}

func TestRustPanicReportsLocation(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	for _, module := range []string{"plain", "beside", "plain-unknown", "beside-unknown"} {
		r := mustEnd(t, e, startRust(t, e, module, "panic", 7).ID)
		if r.Failure == nil || r.Failure.Kind != "panic" || !strings.Contains(r.Failure.Stack, "src/lib.rs:") {
			t.Errorf("%s: it is %+v", module, r.Failure)
		}
		var lines []flawless.Line
		log, err := e.Log(t.Context(), r.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range log {
			for _, en := range rec.Entries {
				if en.Turn != nil {
					lines = append(lines, en.Turn.Lines...)
				}
			}
		}
		if len(lines) == 0 || lines[len(lines)-1].Level != "error" || !strings.Contains(lines[len(lines)-1].Site, "src/lib.rs:") {
			t.Errorf("%s: the lines are %+v", module, lines)
		}
	}
}

// TestRustCancel cancels runs that undo what they did.
func TestRustCancel(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	e := openRust(t, mem.New(), Options{})
	for _, module := range []string{"plain", "beside"} {
		r := startRust(t, e, module, "patient", o.URL+"/"+module)
		until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
		if _, err := e.Cancel(t.Context(), r.ID, flawless.Cancel{Who: "ann"}); err != nil {
			t.Fatal(err)
		}
		if r = mustEnd(t, e, r.ID); r.Status != flawless.Cancelled || o.count("/"+module) != 1 {
			t.Errorf("%s: it is %+v %+v, undone %d times", module, r, r.Failure, o.count("/"+module))
		}
	}
	r := startRust(t, e, "beside", "give-up", o.URL)
	until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Waiting && r.Turns == 2 })
	if _, err := e.Cancel(t.Context(), r.ID, flawless.Cancel{Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	r = mustEnd(t, e, r.ID)
	if r.Status != flawless.Cancelled || o.count("/undo-first") != 1 || o.count("/second")+o.count("/undo-second") > 0 {
		t.Errorf("a saga: it is %+v %+v; a step that was not taken was undone %d times", r, r.Failure, o.count("/undo-second"))
	}
}

// TestRustContinues stops the server in the middle of runs, again and again; plain guests are replayed,
// async ones are frozen and thawed.
func TestRustContinues(t *testing.T) {
	t.Parallel()
	const times = 30
	for _, module := range []string{"plain", "beside"} {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			o := newOutside(t)
			kv := mem.New()
			how := Options{Freezing: Freezing{Units: 1, Turns: 4}}
			e := openRust(t, kv, how)
			var frozen, thawed, replayed int64
			r := startRust(t, e, module, "chain", []any{o.URL + "/chain", times})
			for stop := 7; stop < times; stop += 7 {
				until(t, e, r.ID, func(r flawless.Run) bool { return r.Calls > stop || r.Status.Ended() })
				closing, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if err := e.Close(closing); err != nil {
					t.Fatal(err)
				}
				cancel()
				frozen, thawed, replayed = frozen+e.Health().Frozen, thawed+e.Health().Thawed, replayed+e.Health().Replayed
				e = openRust(t, kv, how)
			}
			r = mustEnd(t, e, r.ID)
			if r.Status != flawless.Completed || string(r.Output) != fmt.Sprint(times) || o.count("/chain") != times {
				t.Errorf("it is %+v %+v, %d requests", r, r.Failure, o.count("/chain"))
			}
			thawed += e.Health().Thawed
			if async := module == "beside"; (thawed > 0) != async || (frozen > 0) != async || (replayed > 0) == async {
				t.Errorf("it was frozen %d times, thawed %d, replayed %d", frozen, thawed, replayed)
			}
			if err := e.verify(t.Context(), r.ID); err != nil {
				t.Errorf("the replay: %v", err)
			}
		})
	}
}

func TestRustMessages(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := openRust(t, kv, Options{})
	if _, _, err := e.Start(t.Context(), Start{Module: "beside", Workflow: "listen", ID: "listener"}); err != nil {
		t.Fatal(err)
	}
	talk := startRust(t, e, "beside", "talk", []any{"listener", 30})
	until(t, e, talk.ID, func(r flawless.Run) bool { return r.Calls > 10 })
	e.Kill()
	e = openRust(t, kv, Options{})
	r := mustEnd(t, e, "listener")
	if talk = mustEnd(t, e, talk.ID); r.Status != flawless.Completed || string(r.Output) != "465" || talk.Status != flawless.Completed {
		t.Errorf("talking: %+v %+v; listening: %+v %+v", talk, talk.Failure, r, r.Failure)
	}
	if _, _, err := e.Start(t.Context(), Start{Module: "beside", Workflow: "listen", ID: "another"}); err != nil {
		t.Fatal(err)
	}
	if _, reply, err := e.Ask(t.Context(), "another", flawless.Message{Type: "stop", Body: []byte(`"now"`)}); err != nil || string(reply) != "0" {
		t.Errorf("the reply is %s, %v", reply, err)
	}
}

// TestMessagesInRustAreCheckedWhenTheyCome: what the type cannot read is refused and not stored, and the run goes on
// waiting.
func TestMessagesInRustAreCheckedWhenTheyCome(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	for how, row := range map[string]struct {
		unfit, field, message, fit, output string
	}{
		"message": {`{"item":"a","kind":{"is":"Pen"},"shelves":{"256":""}}`, "shelves", `the name of member "256": '256' is not valid uint8: give an integer from 0 to 255`, `{"item":"a","kind":{"is":"Book","pages":7},"shelves":{"255":""}}`, `"a"`},
		"promise": {`{"item":"a","kind":{"is":"Pen"},"shelves":{"01":""}}`, "shelves", `the name of member "01": '01' does not match pattern '^(0|[1-9][0-9]*)$'`, `{"item":"a","kind":{"is":"Pen"}}`, `"a"`},
		"parcel":  {`{"to":"localhost:80","length":1}`, "to", `'localhost:80' is not valid socket-address: give an IP address and a port, such as 127.0.0.1:80 or [::1]:80`, `{"to":"[::1]:80","cm":1}`, `"[::1]:80"`},
		"another": {`{"to":"[::1]:80","length":1}`, "", "got object, want string", `"x"`, `"x"`},
	} {
		r := startRust(t, e, "beside", "order", how)
		until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Waiting && (how != "another" || r.Turns > 1) })
		give := func(text string) error {
			if how != "promise" {
				_, err := e.Send(t.Context(), r.ID, flawless.Message{Type: "order", Body: flawless.Bytes(text)})
				return err
			}
			open, err := e.Promises(t.Context(), r.ID)
			if err != nil || len(open) != 1 {
				t.Fatal(open, err)
			}
			_, err = e.Settle(t.Context(), open[0].Token, Settlement{Value: []byte(text)}, "")
			return err
		}
		misfit(t, give(row.unfit), value.Violation{Field: row.field, Message: row.message})
		if r, err := e.Run(t.Context(), r.ID); err != nil || r.Mail != 0 || r.Status != flawless.Waiting {
			t.Errorf("%s: it is %+v, %v", how, r, err)
		}
		if err := give(row.fit); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		mustComplete(t, e, r.ID, row.output)
	}
}

func TestRustPromise(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{URL: "http://here.example"})
	r := startRust(t, e, "beside", "promise", nil)
	until(t, e, r.ID, func(flawless.Run) bool { _, err := e.Data(t.Context(), r.ID); return err == nil })
	data, err := e.Data(t.Context(), r.ID)
	var told []string
	if err == nil {
		err = json.Unmarshal(data, &told)
	}
	if err != nil || told[1] != "http://here.example/api/v1/promises/"+told[0] {
		t.Fatalf("it published %s, %v", data, err)
	}
	_, err = e.Settle(t.Context(), told[0], Settlement{Value: []byte("7")}, "ann")
	misfit(t, err, value.Violation{Field: "", Message: "got number, want string"})
	if _, err := e.Settle(t.Context(), told[0], Settlement{Value: []byte(`"yes"`)}, "ann"); err != nil {
		t.Fatal(err)
	}
	if r = mustEnd(t, e, r.ID); string(r.Output) != `"yes"` {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
}

func TestRustStates(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	var runs []flawless.Run
	for range 3 {
		runs = append(runs, startRust(t, e, "beside", "count", 4))
	}
	most := 0
	for _, r := range runs {
		n := 0
		if r = mustEnd(t, e, r.ID); r.Status != flawless.Completed || json.Unmarshal(r.Output, &n) != nil {
			t.Errorf("it is %+v %+v", r, r.Failure)
		}
		most = max(most, n)
		if err := e.verify(t.Context(), r.ID); err != nil {
			t.Errorf("the replay: %v", err)
		}
	}
	if most != 24 {
		t.Errorf("counted to %d, want 24", most)
	}
}

// TestRustSaga lets a step fail, and the undo of another.
func TestRustSaga(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	broken := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.URL.Path)
		if r.URL.Path == "/third" || r.URL.Path == "/undo-second" && broken {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer s.Close()
	e := openRust(t, mem.New(), Options{})
	r := startRust(t, e, "beside", "saga", s.URL)
	r = until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Unresolved || r.Status.Ended() })
	if r.Status != flawless.Unresolved || !strings.Contains(r.Unresolved[0].Reason, "undone: third; still done and undone after this: first") {
		t.Fatalf("it is %+v %+v", r, r.Failure)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	if _, err := e.Resolve(t.Context(), r.ID, flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Retry}); err != nil {
		t.Fatal(err)
	}
	r = mustEnd(t, e, r.ID)
	want := "/first /second /third /undo-third /undo-second /undo-second /undo-second /undo-first"
	if got := strings.Join(seen, " "); r.Status != flawless.Failed || !strings.Contains(r.Failure.Message, "418") || got != want {
		t.Errorf("it is %+v %+v, the steps were %s", r, r.Failure, got)
	}
}

// TestRustPanicUndoesSagas lets a step of a saga panic: a plain workflow undoes the steps first, an
// async one says which are not undone. The engine is killed while an undo waits for a person.
func TestRustPanicUndoesSagas(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, module string
		broken       bool
		resolution   flawless.Resolution
		want         string // what was asked for after the steps
		left         string // not undone
	}{
		{"a plain one", "plain", false, "", "/undo-third /undo-second /undo-first", "beside"},
		{"a plain one without WASI", "plain-unknown", false, "", "/undo-third /undo-second /undo-first", "beside"},
		{"an undo that fails, and is tried again", "plain", true, flawless.Retry, "/undo-third /undo-second /undo-second /undo-second /undo-first", "beside"},
		{"an undo that fails for good", "plain", true, flawless.Tell, "/undo-third /undo-second /undo-second /undo-first", "second, beside"},
		{"an async one", "beside", false, "", "", "third, second, beside, first"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var seen []string
			broken := row.broken
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if r.URL.Path != "/beside" {
					seen = append(seen, r.URL.Path)
				}
				if r.URL.Path == "/undo-second" && broken {
					w.WriteHeader(http.StatusTeapot)
				}
			}))
			defer s.Close()
			kv := mem.New()
			e := openRust(t, kv, Options{})
			r := startRust(t, e, row.module, "fall", s.URL)
			if row.broken {
				r = until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Unresolved || r.Status.Ended() })
				if r.Status != flawless.Unresolved || !strings.Contains(r.Unresolved[0].Reason, `the saga failed (a panic: it fell) and undoing the step "second" failed for good`) {
					t.Fatalf("it is %+v %+v", r, r.Failure)
				}
				e.Kill()
				mu.Lock()
				broken = false
				mu.Unlock()
				e = openRust(t, kv, Options{})
				if _, err := e.Resolve(t.Context(), r.ID, flawless.Decision{Call: r.Unresolved[0].Call, Resolution: row.resolution, Text: "it stays"}); err != nil {
					t.Fatal(err)
				}
			}
			r = mustEnd(t, e, r.ID)
			want := strings.TrimSpace("/first /second " + row.want)
			mu.Lock()
			got := strings.Join(seen, " ")
			mu.Unlock()
			message := "it fell; not undone: " + row.left
			if r.Failure == nil || r.Failure.Kind != "panic" || r.Failure.Message != message || !strings.Contains(r.Failure.Stack, "src/lib.rs:") || got != want {
				t.Errorf("it is %+v %+v, the steps were %s", r, r.Failure, got)
			}
			if text := linesOf(t, e, r.ID); !strings.Contains(text, "error: panicked: it fell\n") || !strings.HasSuffix(text, "error: not undone: "+row.left+"\n") {
				t.Errorf("the lines are %s", text)
			}
		})
	}
}

// TestRustStepsNotUndoneAreNamed: nothing is undone when the guest dies or is terminated. What it hands over
// above the limit is an error, and undone as others are.
func TestRustStepsNotUndoneAreNamed(t *testing.T) {
	t.Parallel()
	const named = "; not undone: hotel, flight"
	for _, row := range []struct{ how, kind, message string }{
		{"exit", "", named},
		{"memory", "", named},
		{"terminate", "terminated", named},
		{"body", "error", "the limit is 67108864; nothing was sent (too_large)"},
	} {
		t.Run(row.how, func(t *testing.T) {
			t.Parallel()
			e := openRust(t, mem.New(), Options{})
			r := startRust(t, e, "plain", "perish", row.how)
			if row.how == "terminate" {
				until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
				if _, err := e.Terminate(t.Context(), r.ID, flawless.Cancel{}); err != nil {
					t.Fatal(err)
				}
			}
			r = mustEnd(t, e, r.ID)
			if r.Failure == nil || row.kind != "" && r.Failure.Kind != row.kind || !strings.HasSuffix(r.Failure.Message, row.message) {
				t.Errorf("it is %+v, %.500s", r, fmt.Sprint(r.Failure))
			}
		})
	}
}

// linesOf returns what a run logged.
func linesOf(t *testing.T, e *Engine, id string) string {
	t.Helper()
	log, err := e.Log(t.Context(), id, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, rec := range log {
		for _, en := range rec.Entries {
			if en.Turn == nil {
				continue
			}
			for _, l := range en.Turn.Lines {
				fmt.Fprintf(&b, "%s: %s\n", l.Level, l.Text)
			}
		}
	}
	return b.String()
}

// TestRustSecrets hands secrets out, by our SDK and by the published crates.
func TestRustSecrets(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	web := effect.NewClient(effect.ClientOptions{}, func() []flawless.OpenSecret {
		return []flawless.OpenSecret{{Secret: flawless.Secret{Name: "TOKEN", Hosts: []string{s.URL}}, Value: "s3cret"}}
	})
	defer web.Close()
	o := Options{Kinds: effect.Kinds(effect.Options{HTTP: web})}
	e := openRust(t, mem.New(), o)
	r := mustEnd(t, e, startRust(t, e, "beside", "secret", s.URL).ID)
	if string(r.Output) != "200" || r.Labels["kind"] != "secret" {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
	e = openBeta(t, mem.New(), o)
	r = mustEnd(t, e, startRust(t, e, "beta", "secret", map[string]any{"url": s.URL, "n": 0}).ID)
	if string(r.Output) != "[true,200]" {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
}

func TestRustForkKnowsItsOwnID(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	for _, module := range []string{"beside", "beside-unknown"} {
		r := startRust(t, e, module, "tell", nil)
		mustComplete(t, e, r.ID, `"`+r.ID+`"`)
		if _, err := e.Fork(t.Context(), r.ID, Fork{Turn: 1, ID: module}); err != nil {
			t.Fatal(err)
		}
		mustComplete(t, e, module, `"`+module+`"`)
	}
}

// TestRustTraceHasNamesAndLines: they are those of the source.
func TestRustTraceHasNamesAndLines(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	r := startRust(t, e, "plain", "tell", nil)
	mustEnd(t, e, r.ID)
	tr, err := e.Trace(t.Context(), r.ID, nil, replay.TraceOptions{})
	if err != nil || len(tr.Turns) == 0 {
		t.Fatal(tr, err)
	}
	sdk := filepath.Join("..", "..", "sdk", "rust")
	for _, row := range []struct{ name, file, text, caller, call string }{
		{"guest_plain::run", filepath.Join(sdk, "guests", "plain", "src", "lib.rs"), `#[flawless::workflow("tell")]`, "guest.rs", "f(&input)"},
		{"flawless::head::Head::new", filepath.Join(sdk, "flawless-sdk", "src", "head.rs"), "fn new(", "log.rs", "Head::new("},
	} {
		source, err := os.ReadFile(row.file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(source), "\n")
		found := find(tr.Turns[0].Roots, row.name)
		if len(found) == 0 {
			t.Errorf("there is no %s in %+v", row.name, tr.Turns[0].Roots)
		}
		for _, f := range found {
			if f.Site.File != "src/"+filepath.Base(row.file) || f.Site.Line == 0 || f.Site.Line > len(lines) || !strings.Contains(lines[f.Site.Line-1], row.text) {
				t.Errorf("%s is at %v", f.Func, f.Site)
			}
			if f.From.File != "src/"+row.caller {
				continue // inlined, or another one
			}
			source, err := os.ReadFile(filepath.Join(sdk, "flawless-sdk", f.From.File))
			if err != nil {
				t.Fatal(err)
			}
			if lines := strings.Split(string(source), "\n"); f.From.Line > len(lines) || !strings.Contains(lines[f.From.Line-1], row.call) {
				t.Errorf("%s is called from %v", f.Func, f.From)
			}
		}
		if !slices.ContainsFunc(found, func(f *flawless.Frame) bool { return f.From.File == "src/"+row.caller }) {
			t.Errorf("%s is not called from %s", row.name, row.caller)
		}
	}
	if len(tr.Turns[0].Calls) == 0 || tr.Turns[0].Calls[0].Stack[0].Site.Line == 0 {
		t.Errorf("its calls were made at %+v", tr.Turns[0].Calls)
	}
}

// TestRustInspectionShowsStacks: an open call has the lines of the awaits that lead to it, although they were compiled into one
// function, and its task stands there.
func TestRustInspectionShowsStacks(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	defer s.CloseClientConnections()
	r := startRust(t, e, "beside", "give-up", s.URL)
	until(t, e, r.ID, func(r flawless.Run) bool { return r.Turns > 0 })
	source, err := os.ReadFile(filepath.Join("..", "..", "sdk", "rust", "guests", "beside", "src", "lib.rs"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(source), "\n")
	for range 2 { // from the beginning, and from a frozen guest
		i, err := e.InspectStacks(t.Context(), r.ID, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, s := range i.Stacks {
			for _, f := range s.Stack {
				if f.Site.File != "src/lib.rs" || f.Site.Line > len(lines) {
					t.Errorf("the stack of call %d has %+v", s.N, f)
					continue
				}
				text = append(text, strings.TrimSpace(lines[f.Site.Line-1]))
			}
		}
		step := slices.Index(text, "let step = async move { http::put(make).send().await?.success().map(drop) };")
		if take := slices.Index(text, `take(s, "first", &url).await?;`); len(i.Stacks) != 1 || len(text) < 3 || step != 0 || text[1] != ".await" || take != 2 {
			t.Errorf("the stacks are %+v, at %q", i.Stacks, text)
		}
		if !slices.ContainsFunc(i.Tasks, func(task flawless.Task) bool {
			return task.Call == i.Stacks[0].N && slices.Equal(task.Frames, i.Stacks[0].Stack)
		}) {
			t.Errorf("the tasks are %+v, as the guest says: %s", i.Tasks, i.Blocked)
		}
	}
	i, err := e.Inspect(t.Context(), r.ID, 1, 0)
	if err != nil || len(i.Stacks) != 0 || len(i.Tasks) != 2 {
		t.Errorf("without stacks: %+v, %v", i, err)
	}
}

// TestRustRunsOutOfStackAndMemory: the failure says what there was too little of.
func TestRustRunsOutOfStackAndMemory(t *testing.T) {
	t.Parallel()
	e := openRust(t, mem.New(), Options{})
	for _, row := range []struct {
		workflow string
		n        int
		kind     string
		want     string // in the output or the failure
	}{
		{"deep", 100, "", "100"},
		{"deep", 5000, "trap", "stack overflow: "},
		{"hoard", 1, "", "1048576"},
		{"hoard", 2000, "memory", "memory allocation of 2097152000 bytes failed"},
	} {
		r := mustEnd(t, e, startRust(t, e, "plain", row.workflow, row.n).ID)
		got, kind := string(r.Output), ""
		if r.Failure != nil {
			got, kind = r.Failure.Message, r.Failure.Kind
		}
		if kind != row.kind || !strings.Contains(got, row.want) {
			t.Errorf("%s(%d): %s, %+v; want %s %s", row.workflow, row.n, got, r.Failure, row.kind, row.want)
		}
	}
}
