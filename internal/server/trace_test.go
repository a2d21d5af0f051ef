package server

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/replay"
)

// TestTraceIsStreamed compares a streamed trace with one that is encoded at once. A trace that cannot be made is a
// problem, and a trace that is cut off is not valid.
func TestTraceIsStreamed(t *testing.T) {
	t.Parallel()
	o := newOwned(t)
	id := o.started("mailbox", "3")
	for range 3 {
		o.do("POST", "/api/v1/runs/"+id+"/messages", `{"type":"number","value":1}`)
	}
	o.do("GET", "/api/v1/runs/"+id+"?wait=true", "")
	want, err := o.api.engine.Trace(t.Context(), id, nil, replay.TraceOptions{})
	if err != nil || len(want.Turns) < 3 {
		t.Fatalf("%d turns, %v", len(want.Turns), err)
	}
	var got flawless.Trace
	if err := json.Unmarshal([]byte(o.do("POST", "/api/v1/runs/"+id+"/trace", "")), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the trace differs (-at once +streamed):\n%s", d)
	}
	if status, answer := o.send("POST", "/api/v1/runs/"+id+"/trace?turn=1000", "", ""); status != 404 || !strings.Contains(answer, "no turn 1000") {
		t.Errorf("an unknown turn: %d %s", status, answer)
	}
	none := o.do("POST", "/api/v1/runs/"+id+"/trace?func=nosuchfunction", "")
	if err := json.Unmarshal([]byte(none), &got); err != nil || got.Run != id {
		t.Errorf("a trace of no function: %s, %v", none, err)
	}
}

// TestAbortedAnswerIsAnError: if a handler aborts, the client gets an error instead of the end of the body.
func TestAbortedAnswerIsAnError(t *testing.T) {
	t.Parallel()
	h := guard(slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"turns":[`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q was accepted as a complete answer", b)
	}
}
