package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestRetryingCallCanBeGivenUp shows the call that is tried again, and gives up on it.
func TestRetryingCallCanBeGivenUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	in, err := json.Marshal(map[string]any{"url": "http://127.0.0.1:1", "n": 1, "each": 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.client.Start(t.Context(), client.Start{Module: "guest", Workflow: "many", ID: "busy", Input: in}, false); err != nil {
		t.Fatal(err)
	}
	tick, late := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		r, err := s.client.Run(t.Context(), "busy", false)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Retrying) > 0 {
			break
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the run is %s, and no call is retried", r.Status)
		}
	}
	_, body := s.get("/runs/busy")
	if !strings.Contains(body, `action="/runs/busy/retry"`) || !strings.Contains(body, "Retries </bdi><code><bdi>GET 127.0.0.1:1") {
		t.Errorf("the page does not offer to retry: %s", body)
	}
	resp, _ := s.send("POST", "/runs/busy/retry", url.Values{"call": {"2"}, "give_up": {"true"}, "note": {"enough"}})
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("giving up: status %d", resp.StatusCode)
	}
	if r, err := s.client.Run(t.Context(), "busy", true); err != nil || r.Status != flawless.Completed {
		t.Errorf("the run is %s, %v", r.Status, err)
	}
	if resp, _ := s.send("POST", "/runs/busy/retry", url.Values{}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("no call: status %d", resp.StatusCode)
	}
}

// TestRestartLeadsToTheNewRun restarts a failed run with a version of its code.
func TestRestartLeadsToTheNewRun(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("fail", "failed", "no", nil)
	if _, body := s.get("/runs/failed"); !strings.Contains(body, `<option value="1">version 1</option>`) {
		t.Error("the form does not offer the versions")
	}
	resp, _ := s.send("POST", "/runs/failed/restart", url.Values{"version": {"1"}})
	to, isRun := strings.CutPrefix(resp.Header.Get("Location"), "/runs/")
	if resp.StatusCode != http.StatusSeeOther || !isRun || to == "failed" {
		t.Fatalf("status %d, to %q", resp.StatusCode, to)
	}
	if r, err := s.client.Run(t.Context(), to, true); err != nil || r.Of != "failed" {
		t.Errorf("the new run repeats %q, %v", r.Of, err)
	}
	if resp, _ := s.send("POST", "/runs/failed/restart", url.Values{"version": {"none"}}); resp.StatusCode < 400 {
		t.Errorf("a version that does not exist: status %d", resp.StatusCode)
	}
}
