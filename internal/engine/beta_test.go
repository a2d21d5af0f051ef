package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/rusttest"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// published is a guest made with the published crates flawless and flawless-http, and the same with
// the section that makes unknown outcomes stop its runs.
var published = sync.OnceValues(func() (map[string][]byte, error) {
	bin, err := rusttest.Build(filepath.Join("testdata", "beta"), rusttest.Unknown)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"beta": bin, "stops": append(bin[:len(bin):len(bin)], guest.StopSection()...)}, nil
})

var compiledPublished = compiled(published)

func openBeta(t testing.TB, kv store.KV, o Options) *Engine {
	t.Helper()
	return openWith(t, kv, o, published, compiledPublished)
}

// oldServer is what the guest talks to.
func oldServer(t testing.TB) *httptest.Server {
	var mu sync.Mutex
	seen := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		seen[r.URL.Path]++
		n := seen[r.URL.Path]
		mu.Unlock()
		switch {
		case r.URL.Path == "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Second):
			}
		case r.URL.Path == "/cut", r.URL.Path == "/cutonce" && n == 1, r.URL.Path == "/cutlater" && n == 2:
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(r.URL.Path, "/loop"):
			http.Redirect(w, r, fmt.Sprint("/loop", n), http.StatusFound)
			return
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/here", http.StatusMovedPermanently)
			return
		case r.URL.Path == "/away":
			http.Redirect(w, r, "http://localhost:"+r.Host[strings.LastIndex(r.Host, ":")+1:]+"/there", http.StatusTemporaryRedirect)
			return
		case r.URL.Path == "/here" || r.URL.Path == "/there":
			fmt.Fprintf(w, "auth %q ", r.Header.Get("Authorization"))
		case r.URL.Path == "/gone":
			w.WriteHeader(http.StatusGone)
		}
		w.Header().Set("X-Kind", "good")
		fmt.Fprintf(w, "seen %d", n)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestPublishedCrates(t *testing.T) {
	t.Parallel()
	s := oldServer(t)
	e := openBeta(t, mem.New(), Options{})
	type task struct {
		URL string `json:"url"`
		N   int    `json:"n"`
	}
	for _, row := range []struct {
		what, workflow string
		in             any
		status         flawless.Status
		want           string // in the output or the failure
	}{
		{"no response", "empty", nil, flawless.Completed, "null"},
		{"input and response", "echo", map[string]any{"a": []int{1, 2}, "ä": "\u2028"}, flawless.Completed, `"a":[1,2]`},
		{"input where none is wanted", "empty", 7, flawless.Failed, "Failed to deserialize JSON `7` as `()`"},
		{"input that does not fit", "once", "x", flawless.Failed, "Failed to deserialize JSON"},
		{"an answer", "once", task{URL: s.URL + "/a"}, flawless.Completed, "200 good"},
		{"a status", "once", task{URL: s.URL + "/gone"}, flawless.Completed, "status 410: seen 1"},
		{"a redirect", "follow", task{URL: s.URL + "/moved"}, flawless.Completed, `200 here auth \"A\" seen 1`},
		{"a redirect to another origin", "follow", task{URL: s.URL + "/away"}, flawless.Completed, `200 there auth \"\" seen 1`},
		{"redirects without end", "follow", task{URL: s.URL + "/loop"}, flawless.Completed, "TooManyRedirects: the request was redirected too often"},
		{"idempotent, and redirects without end", "again", task{URL: s.URL + "/loops"}, flawless.Failed, "TooManyRedirects"},
		{"a redirected POST", "once", task{URL: s.URL + "/moved"}, flawless.Completed, "301 "},
		{"a time-out without a message", "pause", nil, flawless.Completed, "true"},
		{"a secret that is not there", "secret", task{URL: s.URL + "/a"}, flawless.Completed, "[false,200]"},
		{"a broken connection", "once", task{URL: s.URL + "/cut"}, flawless.Completed, "RequestInterrupted"},
		{"too slow", "once", task{URL: s.URL + "/slow"}, flawless.Completed, "io: timed out"},
		{"nobody listens", "once", task{URL: deadURL}, flawless.Completed, "ConnectionFailed"},
		{"no such name", "once", task{URL: "http://no.invalid/"}, flawless.Completed, "Dns"},
		{"no such scheme", "once", task{URL: "ftp://a.example/"}, flawless.Completed, "UnknownScheme"},
		{"no URL", "once", task{URL: "http://a b"}, flawless.Completed, "InvalidUrl"},
		{"idempotent, broken once", "again", task{URL: s.URL + "/cutonce"}, flawless.Completed, "seen 2"},
		{"less than there is", "part", task{URL: s.URL + "/part", N: 3}, flawless.Completed, `"see"`},
		{"nothing of what there is", "part", task{URL: s.URL + "/part"}, flawless.Completed, `""`},
		{"calls and sleeps", "chain", task{URL: s.URL, N: 5}, flawless.Completed, "[5,30]"},
		{"randomness and time", "draw", nil, flawless.Completed, ",17"},
		{"a panic", "panic", task{URL: s.URL, N: 3}, flawless.Failed, "index out of bounds: the len is 0 but the index is 3"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			r := mustEnd(t, e, startRust(t, e, "beta", row.workflow, row.in).ID)
			if r.Status == flawless.Unresolved {
				t.Fatalf("it is %+v", r)
			}
			got := string(r.Output)
			if r.Failure != nil {
				got = r.Failure.Message
			}
			if r.Status != row.status || !strings.Contains(got, row.want) {
				t.Errorf("it is %s: %s, %+v; want %q", r.Status, got, r.Failure, row.want)
			}
			if row.workflow == "panic" && (r.Failure == nil || r.Failure.Kind != "panic" || !strings.Contains(r.Failure.Stack, "src/lib.rs:")) {
				t.Errorf("the failure is %+v", r.Failure)
			}
			if err := e.verify(t.Context(), r.ID); err != nil {
				t.Errorf("the replay: %v", err)
			}
		})
	}
}

// TestPublishedCratesContinue stops the server in the middle of a run again and again, in order and at
// once.
func TestPublishedCratesContinue(t *testing.T) {
	t.Parallel()
	const times = 30
	o := newOutside(t)
	kv := mem.New()
	e := openBeta(t, kv, Options{})
	r := startRust(t, e, "beta", "chain", map[string]any{"url": o.URL, "n": times})
	for stop := 5; stop < 2*times; stop += 10 {
		until(t, e, r.ID, func(r flawless.Run) bool { return r.Calls > stop && r.Status == flawless.Waiting || r.Status.Ended() })
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		e = openBeta(t, kv, Options{})
	}
	if r = mustEnd(t, e, r.ID); r.Status != flawless.Completed || o.count("/chain") != times || string(r.Output) != "[30,300]" {
		t.Errorf("it is %+v %+v, %d requests", r, r.Failure, o.count("/chain"))
	}
	if err := e.verify(t.Context(), r.ID); err != nil {
		t.Errorf("the replay: %v", err)
	}
}

// TestPublishedCrateIsInterrupted kills the server while a request is under way: the code gets an error, or
// a person is asked where the module says so.
func TestPublishedCrateIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		module string
		status flawless.Status
	}{{"beta", flawless.Completed}, {"stops", flawless.Unresolved}} {
		t.Run(row.module, func(t *testing.T) {
			t.Parallel()
			arrived, leave := make(chan struct{}, 9), make(chan struct{})
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-leave
			}))
			defer s.Close()
			defer close(leave)
			kv := mem.New()
			e := openBeta(t, kv, Options{})
			r := startRust(t, e, row.module, "once", map[string]any{"url": s.URL, "n": 0})
			<-arrived
			e.Kill()
			e = openBeta(t, kv, Options{})
			r = until(t, e, r.ID, func(r flawless.Run) bool { return r.Status.Ended() || r.Status == flawless.Unresolved })
			if r.Status != row.status {
				t.Fatalf("it is %+v %+v", r, r.Failure)
			}
			if row.status == flawless.Unresolved {
				if _, err := e.Resolve(t.Context(), r.ID, flawless.Decision{Call: r.Unresolved[0].Call, Resolution: flawless.Tell, Text: "it did not happen"}); err != nil {
					t.Fatal(err)
				}
				r = mustEnd(t, e, r.ID)
			}
			if string(r.Output) != `"RequestInterrupted"` || len(arrived) != 0 {
				t.Errorf("it is %+v %+v, and %d more requests came", r, r.Failure, len(arrived))
			}
		})
	}
}

// TestPublishedCrateMessages sends messages from one run to another, which are stopped and
// restarted in the middle.
func TestPublishedCrateMessages(t *testing.T) {
	t.Parallel()
	kv := mem.New()
	e := openBeta(t, kv, Options{})
	var mu sync.Mutex
	post := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ Type, Data string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if _, err := e.Send(r.Context(), "listener", flawless.Message{Type: m.Type, Body: []byte(m.Data)}); err != nil {
			t.Error(err)
		}
	}))
	defer post.Close()
	if _, _, err := e.Start(t.Context(), Start{Module: "beta", Workflow: "listen", ID: "listener"}); err != nil {
		t.Fatal(err)
	}
	talk := startRust(t, e, "beta", "talk", map[string]any{"url": post.URL, "n": 20})
	until(t, e, talk.ID, func(r flawless.Run) bool { return r.Wake != nil }) // so that no request is under way
	mu.Lock()
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	e = openBeta(t, kv, Options{})
	mu.Unlock()
	r := mustEnd(t, e, "listener")
	if talk = mustEnd(t, e, talk.ID); talk.Status != flawless.Completed || r.Status != flawless.Completed || string(r.Output) != "190" {
		t.Errorf("talking: %+v %+v; listening: %+v %+v", talk, talk.Failure, r, r.Failure)
	}
	if err := e.verify(t.Context(), "listener"); err != nil {
		t.Errorf("the replay: %v", err)
	}
	if r = mustEnd(t, e, startRust(t, e, "beta", "impatient", nil).ID); string(r.Output) != "null" {
		t.Errorf("no message came, and it is %+v %+v", r, r.Failure)
	}
}

// TestPublishedCrateStartsRuns starts a run from a run.
func TestPublishedCrateStartsRuns(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	e := openBeta(t, mem.New(), Options{})
	r := mustEnd(t, e, startRust(t, e, "beta", "start", map[string]any{"url": o.URL, "n": 3}).ID)
	if r.Status != flawless.Completed {
		t.Fatalf("it is %+v %+v", r, r.Failure)
	}
	runs, _, err := e.Runs(t.Context(), flawless.Filter{Workflow: "steady"})
	if err != nil || len(runs) != 1 {
		t.Fatalf("there are %+v, %v", runs, err)
	}
	if r = mustEnd(t, e, runs[0].ID); string(r.Output) != "[3,true]" {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
}

func TestCancelPublishedCrate(t *testing.T) {
	t.Parallel()
	e := openBeta(t, mem.New(), Options{})
	r := startRust(t, e, "beta", "early", nil)
	until(t, e, r.ID, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	if d, err := e.Data(t.Context(), r.ID); err != nil || string(d) != `"soon"` {
		t.Errorf("the response is %s, %v", d, err)
	}
	if _, err := e.Cancel(t.Context(), r.ID, flawless.Cancel{Who: "ann", Note: "too late"}); err != nil {
		t.Fatal(err)
	}
	if r = mustEnd(t, e, r.ID); r.Status != flawless.Cancelled || r.Failure.Message != "the run was cancelled by ann: too late" {
		t.Errorf("it is %+v %+v", r, r.Failure)
	}
}
