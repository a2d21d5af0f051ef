package web

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// TestForkShowsBothRuns forks a run with another answer, offline and for real.
func TestForkShowsBothRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("many", "trip", map[string]any{"url": s.outside.URL, "n": 2, "each": 1}, nil)
	resp, body := s.get("/runs/trip/fork?turn=1&call=2")
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `value="trip-fork-1"`) || !strings.Contains(body, "/page/0") {
		t.Fatalf("the form: status %d: %s", resp.StatusCode, body)
	}
	form := url.Values{"turn": {"1"}, "call": {"2"}, "status": {"402"}, "body": {`<b>"declined"`}, "id": {"trip-fork-1"}, "how": {"offline"}}
	resp, body = s.send("POST", "/runs/trip/fork", form)
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "402 &lt;b&gt;") || !strings.Contains(body, "It would return") {
		t.Errorf("offline: status %d: %s", resp.StatusCode, body)
	}
	if _, err := s.client.Run(t.Context(), "trip-fork-1", false); err == nil {
		t.Error("an offline fork was stored")
	}
	form.Set("how", "real")
	resp, _ = s.send("POST", "/runs/trip/fork", form)
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || to != "/runs/trip/diff/trip-fork-1" {
		t.Fatalf("for real: status %d, to %q", resp.StatusCode, to)
	}
	if _, err := s.client.Run(t.Context(), "trip-fork-1", true); err != nil {
		t.Fatal(err)
	}
	resp, body = s.get("/runs/trip/diff/trip-fork-1")
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `turn 2</a>, call 2: the answer`) || !strings.Contains(body, "402 &lt;b&gt;") || strings.Contains(body, "<b>\"") {
		t.Errorf("side by side: status %d: %s", resp.StatusCode, body)
	}
	if _, body := s.get("/runs/trip"); !strings.Contains(body, "Forks made here") || !strings.Contains(body, "/runs/trip/diff/trip-fork-1") {
		t.Error("the run does not list its fork")
	}
	if _, body := s.get("/runs/trip-fork-1"); !strings.Contains(body, "Fork of") {
		t.Error("the fork does not say where it comes from")
	}
	if _, body := s.get("/runs/trip/fork?turn=1"); !strings.Contains(body, `value="trip-fork-2"`) {
		t.Error("the next fork gets the same id")
	}
	for _, row := range []struct{ name, value, says string }{{"turn", "x", "Turn is"}, {"turn", "99", "turn"}, {"version", "7", "no version 7"}} {
		bad := url.Values{"turn": {"1"}, "body": {"typed"}, "call": {""}}
		bad.Set(row.name, row.value)
		resp, body := s.send("POST", "/runs/trip/fork", bad)
		if resp.StatusCode < 400 || !strings.Contains(body, row.says) || !strings.Contains(body, "typed</textarea>") {
			t.Errorf("%s=%s: status %d: %s", row.name, row.value, resp.StatusCode, body)
		}
	}
}

// TestForkWithAVersion continues with the code of another version.
func TestForkWithAVersion(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("many", "trip", map[string]any{"url": s.outside.URL, "n": 2, "each": 1}, nil)
	bin, err := guestModule()
	if err != nil {
		t.Fatal(err)
	}
	other := append(bytes.Clone(bin), 0, 2, 1, 'x') // a custom section makes another module of the same code
	m, _, err := s.client.AddModule(t.Context(), "guest", other, nil)
	if err != nil || m.Version != 2 {
		t.Fatalf("version %d, %v", m.Version, err)
	}
	r, err := s.client.Fork(t.Context(), "trip", client.Fork{Turn: 1, ID: "other", Version: 2})
	if err != nil || r.Digest != m.Digest {
		t.Errorf("the fork has the code %.8s, want %.8s, %v", r.Digest, m.Digest, err)
	}
	if _, err := s.client.Fork(t.Context(), "trip", client.Fork{Turn: 1, ID: "both", Version: 2, Module: other}); err == nil {
		t.Error("a fork took both a module and a version")
	}
}

func TestCallsAreAligned(t *testing.T) {
	t.Parallel()
	log := func(titles ...string) *calls {
		c := &calls{answers: map[int]string{}}
		for i, title := range titles {
			head, _ := json.Marshal(map[string]any{"method": "GET", "url": title, "at": "x.go:1"})
			c.add(1, flawless.Call{N: i + 1, Kind: "http", Head: head}, "")
		}
		return c
	}
	long := strings.Split(strings.Repeat(" s", 401), " ")[1:]
	many := strings.Split(strings.Repeat("same ", 1000)+"end", " ")
	for _, row := range []struct {
		name string
		a, b *calls
		want string
	}{
		{"the same", log("a", "b"), log("a", "b"), "2 more"},
		{"none", log(), log(), ""},
		{"one more", log("a", "b"), log("a", "x", "b"), "a=a -x b=b"},
		{"one less", log("a", "b", "c"), log("a", "c"), "a=a b- c=c"},
		{"only one", log("a"), log(), "a-"},
		{"far away", log("1", "2", "3", "4", "5"), log("1", "2", "3", "4"), "2 3=3 4=4 5-"},
		{"more than are aligned", log(many...), log(many[1:]...), "997 same=same same=same same- end=end"},
		{"more than are compared", log(append([]string{"x"}, long...)...), log(append([]string{"y"}, long...)...), "x- -y s=s s=s 399 more"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out []string
			for _, p := range compare(row.a, row.b) {
				text := ""
				if p.Skipped > 0 {
					text = number(p.Skipped) + " "
				}
				if p.A != nil {
					text += strings.TrimPrefix(p.A.Title, "GET ")
				}
				if p.A != nil && p.B != nil && !p.Differs {
					text += "="
				} else if !p.End {
					text += "-"
				} else {
					text += "more"
				}
				if p.B != nil {
					text += strings.TrimPrefix(p.B.Title, "GET ")
				}
				out = append(out, text)
			}
			if got := strings.Join(out, " "); got != row.want {
				t.Errorf("the rows are %q, want %q", got, row.want)
			}
		})
	}
}

// TestLongComparisonsAreCut checks that two runs with nothing in common make a page that a browser can show.
func TestLongComparisonsAreCut(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("many", "a", map[string]any{"url": s.outside.URL + "/a", "n": 600, "each": 100}, nil)
	s.start("many", "b", map[string]any{"url": s.outside.URL + "/b", "n": 600, "each": 100}, nil)
	_, page := s.get("/runs/a/diff/b")
	if n := strings.Count(page, `<tr class="`); n < 400 || n > 510 {
		t.Errorf("the page has %d rows", n)
	}
	// Whatever is paired with what, no call is lost: each is in a row that is shown or counted.
	shown := strings.Count(page, `class="made"`)
	more := found(t, page, `about ([0-9,]+) rows are not shown`)
	if n, err := strconv.Atoi(strings.ReplaceAll(more, ",", "")); err != nil || shown+2*n < 1200 {
		t.Errorf("the page shows %d calls and says that %s rows are not shown", shown, more)
	}
}

// TestExportedRunOpens looks at a bundle through the API; nothing is stored.
func TestExportedRunOpens(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("steps", "steps", 3, nil)
	var file bytes.Buffer
	if err := s.client.Export(t.Context(), "steps", client.Export{}, &file); err != nil {
		t.Fatal(err)
	}
	send := func(b []byte) (int, string) {
		r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, s.URL+"/api/v1/bundles/view", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/octet-stream")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	status, text := send(file.Bytes())
	var view struct {
		Run flawless.Run
		Log []flawless.Record
	}
	if err := json.Unmarshal([]byte(text), &view); status != http.StatusOK || err != nil || view.Run.ID != "steps" || len(view.Log) < 3 {
		t.Errorf("status %d, %v: %.300s", status, err, text)
	}
	cut := file.Bytes()[:file.Len()-10]
	if status, text := send(cut); status != http.StatusBadRequest || !strings.Contains(text, "truncated") {
		t.Errorf("a truncated file: status %d: %s", status, text)
	}
}
