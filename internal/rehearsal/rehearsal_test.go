package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/guest"
)

// rehearsed is the guest of the engine's tests, with a runtime.
var rehearsed = sync.OnceValues(func() (Options, error) {
	dir, err := os.MkdirTemp("", "rehearsal")
	if err != nil {
		return Options{}, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, ".")
	cmd.Dir = filepath.Join("..", "engine", "testdata", "guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return Options{}, fmt.Errorf("%v: %s", err, text)
	}
	o := Options{}
	if o.Binary, err = os.ReadFile(out); err == nil {
		o.Guest, err = guest.NewRuntime(context.Background(), guest.Options{})
	}
	return o, err
})

func options(t *testing.T, workflow, input string) Options {
	t.Helper()
	o, err := rehearsed()
	if err != nil {
		t.Fatal(err)
	}
	o.Workflow, o.Input = workflow, []byte(input)
	o.Outside = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "did %s", r.URL.Path) })
	return o
}

func TestVirtualYearTakesNoTime(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r, err := Run(t.Context(), options(t, "sleep", "365"))
	if err != nil || r.Run.Status != flawless.Completed || string(r.Run.Output) != `"8760h0m0s"` {
		t.Fatalf("it is %+v, %v", r.Run, err)
	}
	if r.Virtual < 365*24*time.Hour {
		t.Errorf("%v have passed", r.Virtual)
	}
	t.Logf("a year took %v", time.Since(began))
}

func TestSimulatedServerAnswersEveryHost(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://shop.test", "https://pay.test:8443"} {
		r, err := Run(t.Context(), options(t, "chain", fmt.Sprintf(`{"url":%q,"n":3}`, url)))
		if err != nil || string(r.Run.Output) != "3" || len(r.Requests) != 3 {
			t.Fatalf("it is %+v, %v; the outside saw %v", r.Run, err, r.Requests)
		}
		if q := r.Requests[0]; q.URL != url+"/once" || q.Method != "POST" || q.Body != "body" || q.Status != 200 || q.Response != "did /once" {
			t.Errorf("the outside saw %+v", q)
		}
	}
}

func TestRehearsalIsDeterministic(t *testing.T) {
	t.Parallel()
	in := `{"url":"http://a.test","dead":"http://b.test","n":1}`
	a, err := Run(t.Context(), options(t, "everything", in))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Run(t.Context(), options(t, "everything", in))
	if err != nil || string(a.Run.Output) != string(b.Run.Output) {
		t.Errorf("%s and %s, %v", a.Run.Output, b.Run.Output, err)
	}
}

func TestCrashAtEveryWriteChangesNothing(t *testing.T) {
	t.Parallel()
	in := `{"url":"http://a.test","steps":[{"post":"/a"},{"put":"/b"},{"sleep":50},{"both":[{"post":"/c"},{"sleep":70}]},{"data":3}]}`
	rep, err := CrashEverywhere(t.Context(), options(t, "script", in), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Faults) != 0 || rep.Writes < 5 || rep.Crashes < rep.Writes || rep.Asked == 0 {
		t.Errorf("%d writes, %d crashes, %d decisions: %v", rep.Writes, rep.Crashes, rep.Asked, rep.Faults)
	}
	t.Logf("%d writes, %d crashes, %d decisions", rep.Writes, rep.Crashes, rep.Asked)
}

// TestStreamPartsSurviveCrashes checks that a stream has the parts that the server flushed, in every run. After a
// crash before the stream began, the recorded response is repeated; a stream that a crash cuts off is reported as it
// would be.
func TestStreamPartsSurviveCrashes(t *testing.T) {
	t.Parallel()
	o := options(t, "listen", `{"URL":"http://model.test","Ack":false,"Enough":0}`)
	o.Outside = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, part := range []string{"data: a\n\n", "data: b\n\n", "data: c\n\n"} {
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "end")
	})
	rep, err := CrashEverywhere(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	var heard struct{ Parts []string }
	if err := json.Unmarshal(rep.Result.Run.Output, &heard); err != nil || !slices.Equal(heard.Parts, []string{"data: a\n\n", "data: b\n\n", "data: c\n\n", "end"}) {
		t.Errorf("the parts are %q, %v", heard.Parts, err)
	}
	if rep.Asked == 0 || len(rep.Faults) == 0 {
		t.Errorf("%d decisions, %d crashes cut the stream off", rep.Asked, len(rep.Faults))
	}
	for _, f := range rep.Faults {
		if f.Alive || !strings.Contains(f.Text, "has cut off the response that call") {
			t.Error(f)
		}
	}
}

func TestDifferencesAreReported(t *testing.T) {
	t.Parallel()
	want := Result{Run: flawless.Run{Status: flawless.Completed, Output: []byte("1")}, Requests: []Request{{Method: "POST", URL: "/a", Key: "rehearsal-2"}}}
	rep := &Report{Result: want}
	for name, change := range map[string]func(r *Result){
		"another end":           func(r *Result) { r.Run.Status = flawless.Failed },
		"another output":        func(r *Result) { r.Run.Output = []byte("2") },
		"a request too many":    func(r *Result) { r.Requests = append(r.Requests, r.Requests[0]) },
		"a request that is not": func(r *Result) { r.Requests = nil },
		"another request":       func(r *Result) { r.Requests = []Request{{Method: "POST", URL: "/b"}} },
	} {
		got := want
		got.Requests = append([]Request(nil), want.Requests...)
		change(&got)
		if (&stage{}).compare(rep, got) == "" {
			t.Errorf("%s: nothing differs", name)
		}
	}
	if text := (&stage{}).compare(rep, want); text != "" {
		t.Errorf("the same: %s", text)
	}
}

// TestUnresolvedRunEndsRehearsal runs a saga whose undo always fails and therefore keeps asking for a person.
func TestUnresolvedRunEndsRehearsal(t *testing.T) {
	t.Parallel()
	r, err := Run(t.Context(), options(t, "trip", `{"URL":"http://travel.example","Fail":"car","Stay":"hotel"}`))
	if err != nil || r.Run.Failure == nil || !strings.Contains(r.Run.Failure.Message, "not undone: hotel") {
		t.Errorf("it is %+v, %v", r.Run.Failure, err)
	}
}

func TestEndlessRehearsalIsStopped(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		workflow, input string
		code            flawless.Code
	}{
		"it waits for something":  {"mailbox", "1", flawless.Conflict},
		"no such workflow":        {"none", "null", flawless.NotFound},
		"input that does not fit": {"chain", `{"n":"x"}`, flawless.Invalid},
	} {
		if _, err := Run(t.Context(), options(t, row.workflow, row.input)); !errors.Is(err, row.code) {
			t.Errorf("%s: %v, want %s", name, err, row.code)
		}
	}
	o := options(t, "spin", "null")
	o.Limit = 300 * time.Millisecond
	if _, err := Run(t.Context(), o); !errors.Is(err, flawless.TooLarge) {
		t.Errorf("one that computes forever: %v", err)
	}
}

// TestSecretReachesOnlyTheSimulatedServer runs a workflow that sends a secret in every part of a request, to a server
// that echoes it.
func TestSecretReachesOnlyTheSimulatedServer(t *testing.T) {
	t.Parallel()
	const value = "s3cr/t value"
	o := options(t, "confide", `{"url":"http://pay.test","dead":"http://pay.test/dead","other":"http://other.test"}`)
	o.Secrets = []flawless.OpenSecret{{Secret: flawless.Secret{Name: "TOKEN", Anywhere: true}, Value: value}}
	var got atomic.Int32
	o.Outside = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") == "Bearer "+value && r.URL.Query().Get("key") == value && string(b) == value {
			got.Add(1)
		}
		fmt.Fprintf(w, "%s %s", r.URL, b)
	})
	r, err := Run(t.Context(), o)
	if err != nil || got.Load() != 1 {
		t.Fatalf("the outside got it %d times; it is %+v, %v", got.Load(), r.Run, err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
		if strings.Contains(string(text), shown) {
			t.Errorf("the result has %s: %s", shown, text)
		}
	}
	if !strings.Contains(r.Requests[0].URL, "key="+flawless.PlaceholderStart+"TOKEN") {
		t.Errorf("the outside saw %+v", r.Requests[0])
	}
}

// TestWorkflowCanNameItsOwnModule uses the name that the test gives it, or that of its file.
func TestWorkflowCanNameItsOwnModule(t *testing.T) {
	t.Parallel()
	for _, name := range []func(o *Options){func(o *Options) { o.Module = "guest" }, func(o *Options) { o.File = "guest" }} {
		o := options(t, "conform", `"http://a.test"`)
		name(&o)
		if r, err := Run(t.Context(), o); err != nil || r.Run.Status != flawless.Completed {
			t.Errorf("it is %+v, %v", r.Run, err)
		}
	}
}

// TestTrialWithoutCrashIsCounted runs a workflow that makes fewer writes the second time, so it does not crash, and a
// difference is not caused by a crash.
func TestTrialWithoutCrashIsCounted(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	o := options(t, "once", `{"url":"http://a.test/once"}`)
	o.Outside = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n.Add(1)) }) // different each time
	rep, err := CrashEverywhere(t.Context(), o, nil)
	if err != nil || rep.Trials != 2*rep.Writes || rep.Crashes > rep.Trials || len(rep.Faults) > rep.Trials {
		t.Errorf("%d trials, %d crashes, %d faults of %d writes, %v", rep.Trials, rep.Crashes, len(rep.Faults), rep.Writes, err)
	}
	f := Fault{Write: 3, Alive: true, Text: "x"}
	if !strings.HasPrefix(f.String(), "not killed") {
		t.Errorf("it says %s", f)
	}
}
