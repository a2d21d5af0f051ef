package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/cluster"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/mem"
)

// fillPages makes something of each kind for the pages besides runs.
func (s *site) fillPages() {
	s.t.Helper()
	ctx := s.t.Context()
	do := func(_ any, err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	do(s.client.SetSchedule(ctx, flawless.Schedule{Name: "nightly", Cron: "30 2 * * MON-FRI", Zone: "Europe/Berlin", Module: "guest", Workflow: "echo", Input: json.RawMessage(`"x"`)}, false))
	do(s.client.PauseSchedule(ctx, "nightly", "<b>holiday</b>"))
	do(s.client.SetLimit(ctx, "api.example.com", "10/s", 5))
	n, key := 1, (24 * time.Hour).Milliseconds()
	do(s.client.ChangeHost(ctx, "pay.example.com", client.HostChange{KeyMS: &key}))
	do(s.client.SetSecret(ctx, "STRIPE", []string{"api.stripe.com"}, "sk_test_value"))
	do(s.client.SetView(ctx, flawless.View{Name: "<i>failed</i>", Page: "runs", Query: "status=failed"}))
	s.start("ask", "asks", "approval", nil)
	s.start("hold", "holds", "stock/<b>", nil)
	s.until("holds", func(r flawless.Run) bool { return r.Waiting != nil && r.Waiting.Kind == flawless.WaitTimer })
	s.start("hold", "queues", "stock/<b>", nil)
	s.until("queues", func(r flawless.Run) bool { return r.Waiting != nil && r.Waiting.Kind == flawless.WaitState })
	s.until("asks", func(r flawless.Run) bool { return r.Waiting != nil && r.Waiting.Kind == flawless.WaitPromise })
	do(s.client.ChangeSettings(ctx, "guest", client.SettingsChange{Concurrency: &n}))
	s.start("wait", "pending", 72, nil)
}

// until waits until a run is as it should be.
func (s *site) until(id string, is func(flawless.Run) bool) {
	s.t.Helper()
	r, err := s.client.Run(s.t.Context(), id, false)
	if err != nil {
		s.t.Fatal(err)
	}
	if is(r) {
		return
	}
	for _, err := range s.client.Follow(s.t.Context(), id, 0) { // the run is looked at again after each record
		if err != nil {
			s.t.Fatal(err)
		}
		if r, err = s.client.Run(s.t.Context(), id, false); err != nil || is(r) {
			return
		}
	}
	s.t.Fatalf("run %s has ended and is %+v", id, r)
}

// otherPages has the paths of the pages that fillPages makes something for.
var otherPages = []struct{ name, path string }{{"modules", "/modules"}, {"module", "/modules/guest"}, {"start", "/modules/guest/start/order"}, {"source", "/modules/guest/source"},
	{"upgrade", "/modules/guest/upgrade"}, {"schedules", "/schedules"}, {"schedule", "/schedules/nightly"}, {"new-schedule", "/new/schedule"}, {"limits", "/limits"},
	{"states", "/state"}, {"state", "/state/" + url.PathEscape("stock/<b>")}, {"promises", "/promises"}, {"secrets", "/secrets"}, {"nodes", "/nodes"}, {"settings", "/settings"}}

func TestOtherPagesEscapeEverythingAndFollowTheProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, page := range otherPages[5:] { // nothing is there yet
		if page.name == "state" || page.name == "schedule" {
			continue
		}
		if resp, body := s.get(page.path); resp.StatusCode != http.StatusOK || !strings.Contains(body, "<h1") {
			t.Errorf("%s on an empty server: status %d", page.path, resp.StatusCode)
		}
	}
	s.fillPages()
	forbidden := regexp.MustCompile(`<b>holiday|<b>as it|<i>failed|stock/<b>| style=|sk_test_value|ZgotmplZ|&lt;nil&gt;|%!`)
	absolute := regexp.MustCompile(`(?:href|src|action)="/[^"]*"`)
	call := s.promise("asks").Call
	for _, page := range append(otherPages, struct{ name, path string }{"promise", fmt.Sprintf("/runs/asks/promises/%d", call)}) {
		resp, body := s.get(page.path, "X-Forwarded-Prefix", "/tools")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d: %s", page.path, resp.StatusCode, body)
		}
		if found := forbidden.FindString(body); found != "" {
			t.Errorf("%s contains %q", page.path, found)
		}
		for _, link := range absolute.FindAllString(body, -1) {
			if !strings.Contains(link, `"/tools/`) {
				t.Errorf("%s has %s", page.path, link)
			}
		}
	}
	for path, status := range map[string]int{"/modules/none": 404, "/modules/guest/start/none": 404, "/modules/none/upgrade": 404, "/schedules/none": 404, "/runs/asks/promises/99": 404, "/runs/none/promises/1": 404} {
		if resp, body := s.get(path); resp.StatusCode != status || !strings.Contains(body, "<h1>") {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, status)
		}
	}
	for _, path := range []string{"/modules/guest", "/schedules/nightly", "/limits", "/secrets", "/nodes", "/settings", "/modules/guest/upgrade"} {
		if resp, _ := s.send("POST", path, url.Values{"do": {"nonsense"}}); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("POST %s with nonsense: status %d", path, resp.StatusCode)
		}
	}
}

func TestOtherPagesNeedTheLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t, "0123456789abcdef")
	s.fillPages()
	for _, page := range otherPages {
		if resp, body := s.get(page.path); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `action="/login"`) {
			t.Errorf("%s: status %d", page.path, resp.StatusCode)
		}
	}
	for path, form := range map[string]url.Values{"/secrets": {"do": {"remove"}, "name": {"STRIPE"}}, "/schedules/nightly": {"do": {"remove"}}, "/limits": {"do": {"unlimit"}, "host": {"api.example.com"}},
		"/new/schedule": {"do": {"preview"}, "cron": {"@daily"}}, "/modules/guest/start/order": {"in/id": {"o"}}, "/modules/guest/upgrade": {"do": {"move"}}} {
		if resp, body := s.send("POST", path, form); resp.StatusCode != http.StatusUnauthorized || strings.Contains(body, "guest/echo") {
			t.Errorf("POST %s: status %d", path, resp.StatusCode)
		}
	}
	if all, err := s.client.Secrets(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("the secrets are %+v, %v", all, err)
	}
}

// promise returns the open promise of a run.
func (s *site) promise(run string) flawless.Promise {
	s.t.Helper()
	open, err := s.client.Promises(s.t.Context(), run)
	if err != nil || len(open) != 1 {
		s.t.Fatalf("run %s has the promises %+v, %v", run, open, err)
	}
	return open[0]
}

// hiddenField returns the value of a hidden field of a page.
func hiddenField(t *testing.T, body, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("the page has no field %s", name)
	}
	return m[1]
}

func TestAFormStartsOneRun(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	const path = "/modules/guest/start/order"
	_, body := s.get(path)
	for _, want := range []string{`name="in/id"`, `name="in/cents"`, `type="checkbox" id="f4" name="in/gift"`, `<textarea class="field" id="f5" name="in/tags"`, `name="in/address/city"`, "number of the order"} {
		if !strings.Contains(body, want) {
			t.Errorf("the form does not have %s", want)
		}
	}
	fresh := hiddenField(t, body, "fresh")
	form := url.Values{"fresh": {fresh}, "in/id": {"o-1"}, "in/cents": {"990"}, "in/gift": {"true"}, "in/tags": {"a\nb"}, "in/address/city": {"Oslo"}, "labels": {"customer=c-1"}, "step": {"start"}}
	for range 2 { // as by a double click
		resp, body := s.send("POST", path, form)
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/runs/"+fresh {
			t.Fatalf("status %d, to %q: %s", resp.StatusCode, resp.Header.Get("Location"), body)
		}
	}
	runs, _, err := s.client.Runs(t.Context(), flawless.Filter{Workflow: "order"})
	if err != nil || len(runs) != 1 || runs[0].Labels["customer"] != "c-1" {
		t.Fatalf("the runs are %+v, %v", runs, err)
	}
	r, err := s.client.Run(t.Context(), fresh, true)
	if want := `{"id":"o-1","cents":990,"gift":true,"tags":["a","b"],"address":{"city":"Oslo"}}`; err != nil || string(r.Output) != want {
		t.Errorf("the run returned %s, %v, want %s", r.Output, err, want)
	}
}

func TestAFormShowsErrorsNextToTheirFields(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	const path = "/modules/guest/start/order"
	near := func(body, name string) string { // what follows the field up to the next one
		_, after, ok := strings.Cut(body, `name="`+name+`"`)
		if !ok {
			t.Fatalf("there is no field %s", name)
		}
		part, _, _ := strings.Cut(after, `<div class="fld`)
		return part
	}
	form := url.Values{"fresh": {"r-1"}, "in/id": {"o-1"}, "in/cents": {"-5"}, "step": {"start"}}
	resp, body := s.send("POST", path, form) // the engine refuses it
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(near(body, "in/cents"), "wrong") || strings.Contains(near(body, "in/id"), "wrong") {
		t.Errorf("a number that is too small: status %d: %s", resp.StatusCode, near(body, "in/cents"))
	}
	if !strings.Contains(body, `value="o-1"`) || hiddenField(t, body, "fresh") != "r-1" {
		t.Error("what was filled in is lost")
	}
	form.Set("in/cents", "five")
	form.Set("deadline", "soon")
	form.Set("labels", "odd")
	if resp, body = s.send("POST", path, form); resp.StatusCode != http.StatusBadRequest || !strings.Contains(near(body, "in/cents"), "is not a number") {
		t.Errorf("no number: status %d", resp.StatusCode)
	}
	for name, want := range map[string]string{"deadline": "is not a duration", "labels": "is not name=value"} {
		if !strings.Contains(near(body, name), want) {
			t.Errorf("%s: %s", name, near(body, name))
		}
	}
	s.start("echo", "taken", "x", nil)
	resp, body = s.send("POST", path, url.Values{"in/id": {"o"}, "in/cents": {"1"}, "id": {"taken"}, "step": {"start"}})
	if resp.StatusCode != http.StatusConflict || !strings.Contains(near(body, "id"), "another run") {
		t.Errorf("an id that is taken: status %d", resp.StatusCode)
	}
	if runs, _, err := s.client.Runs(t.Context(), flawless.Filter{Workflow: "order"}); err != nil || len(runs) > 0 {
		t.Errorf("runs were started: %+v, %v", runs, err)
	}
}

func TestAFormIsShownAsACommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	_, body := s.send("POST", "/modules/guest/start/order", url.Values{"fresh": {"r-1"}, "in/id": {"it's"}, "in/cents": {"1"}, "labels": {"a=b c"}, "step": {"show"}})
	for _, want := range []string{`flawless workflow start guest order --input &#39;{&#34;id&#34;:&#34;it&#39;\&#39;&#39;s&#34;,&#34;cents&#34;:1,&#34;gift&#34;:false}&#39; --id r-1 --label &#39;a=b c&#39;`, "curl -X POST http://", "/api/v1/runs"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	if runs, _, err := s.client.Runs(t.Context(), flawless.Filter{}); err != nil || len(runs) > 0 {
		t.Errorf("a run was started: %+v, %v", runs, err)
	}
}

func TestModuleSettingsAndVersions(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	set := url.Values{"do": {"set"}, "concurrency": {"7"}, "retention": {"90d"}, "retry": {"none"}, "keep": {"0"}}
	if resp, _ := s.send("POST", "/modules/guest", set); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", resp.StatusCode)
	}
	got, err := s.client.Settings(t.Context(), "guest")
	if err != nil || got.Concurrency != 7 || got.RetentionMS != (90*24*time.Hour).Milliseconds() || got.RetryForMS == nil || *got.RetryForMS != 0 {
		t.Errorf("the settings are %+v, %v", got, err)
	}
	if _, body := s.get("/modules/guest"); !strings.Contains(body, `name="retention" value="90d"`) || !strings.Contains(body, `name="retry" value="none"`) {
		t.Error("the page does not show the settings")
	}
	set.Set("retention", "soon")
	if resp, body := s.send("POST", "/modules/guest", set); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "is not a duration") || !strings.Contains(body, `value="soon"`) {
		t.Errorf("an odd retention: status %d", resp.StatusCode)
	}
	s.start("wait", "sleeper", 72, nil)
	remove := url.Values{"do": {"remove"}, "version": {"1"}}
	if resp, body := s.send("POST", "/modules/guest", remove); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "role=\"alert\"") {
		t.Errorf("removing what an open run needs: status %d", resp.StatusCode)
	}
	if _, err := s.client.Terminate(t.Context(), "sleeper", terminate); err != nil {
		t.Fatal(err)
	}
	if resp, _ := s.send("POST", "/modules/guest", remove); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/modules" {
		t.Errorf("removing the last version: status %d, %s", resp.StatusCode, resp.Header.Get("Location"))
	}
}

// guestV2 returns a second version of the guest, whose workflow wait calls something before it sleeps.
func (s *site) addVersion2() {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, name := range []string{"go.mod", "main.go"} {
		b, err := os.ReadFile(filepath.Join("testdata", "guest", name))
		if err != nil {
			s.t.Fatal(err)
		}
		text := strings.Replace(string(b), `		return hours, flawless.Sleep(`, `		if hours > 100 {
			_, _ = flawless.Do(ctx, flawless.Request{Method: "GET", URL: "http://review.example/"})
		}
		return hours, flawless.Sleep(`, 1)
		sdk, err := filepath.Abs(filepath.Join("..", "..", "sdk", "go"))
		if err != nil {
			s.t.Fatal(err)
		}
		text = strings.Replace(text, "../../../../sdk/go", sdk, 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	bin, err := buildGuest(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	if m, _, err := s.client.AddModule(s.t.Context(), "guest", bin, nil); err != nil || m.Version != 2 {
		s.t.Fatal(m.Version, err)
	}
}

func TestUpgradeChecksThenMoves(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, id := range []string{"short-1", "short-2"} {
		s.start("wait", id, 72, nil)
	}
	s.start("wait", "long", 200, nil)
	for _, id := range []string{"short-1", "short-2", "long"} {
		s.until(id, func(r flawless.Run) bool { return r.Status == flawless.Waiting })
	}
	s.addVersion2()
	const path = "/modules/guest/upgrade"
	if _, body := s.get(path); !strings.Contains(body, "3 open runs are on older versions") {
		t.Errorf("the page does not say what is to be checked: %s", body)
	}
	_, body := s.send("POST", path, url.Values{"do": {"check"}})
	for _, want := range []string{"2 of 3 open runs go on with version 2", "Nothing was moved", "Replayed: 3 of 3 runs", "GET review.example/", `name="run" value="short-1"`, "Move 2 runs", "</html>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the check does not say %s", want)
		}
	}
	digest := func(id string) string {
		r, err := s.client.Run(t.Context(), id, false)
		if err != nil {
			t.Fatal(err)
		}
		return r.Digest
	}
	old := digest("long")
	if digest("short-1") != old {
		t.Fatal("the check has moved a run")
	}
	if resp, body := s.send("POST", path, url.Values{"do": {"chosen"}}); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "Choose the runs") {
		t.Errorf("nothing chosen: status %d", resp.StatusCode)
	}
	if _, body = s.send("POST", path, url.Values{"do": {"chosen"}, "run": {"short-1"}}); !strings.Contains(body, "1 of 1 runs moved to version 2") {
		t.Errorf("moving one run: %s", body)
	}
	if digest("short-1") == old || digest("short-2") != old {
		t.Error("not just the chosen run has moved")
	}
	if _, body = s.send("POST", path, url.Values{"do": {"move"}}); !strings.Contains(body, "1 of 2 runs moved to version 2") {
		t.Errorf("moving the others: %s", body)
	}
	if digest("short-2") == old || digest("long") != old {
		t.Error("not all that go on have moved, or others have")
	}
}

// TestUpgradeIsOfferedBehindManyRuns: the page looks only at the newest runs, and must not say that there are no older ones.
func TestUpgradeIsOfferedBehindManyRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("wait", "old", 72, nil)
	s.addVersion2()
	for i := range 501 {
		s.start("wait", fmt.Sprintf("new-%d", i), 72, nil)
	}
	if _, body := s.get("/modules/guest"); !strings.Contains(body, "<dd>502</dd>") || !strings.Contains(body, "those among the newest 500") {
		t.Error("the module does not have the number of open runs, or does not say which were looked at")
	}
	if _, body := s.get("/modules/guest/upgrade"); !strings.Contains(body, "There are many open runs") || !strings.Contains(body, `value="check"`) {
		t.Error("the page does not offer the check")
	}
	if _, body := s.send("POST", "/modules/guest/upgrade", url.Values{"do": {"check"}}); !strings.Contains(body, "1 of 1 open runs go on") {
		t.Error("the check does not find the old run")
	}
}

func TestScheduleForms(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	if _, body := s.get("/modules/guest"); !strings.Contains(body, `href="/new/schedule?workflow=guest/echo"`) {
		t.Error("the module does not lead to the form")
	}
	if _, body := s.get("/new/schedule?workflow=guest/echo"); !strings.Contains(body, "<option selected>guest/echo</option>") {
		t.Error("the workflow is not chosen")
	}
	form := url.Values{"name": {"nightly"}, "cron": {"30 2 * * *"}, "zone": {"Europe/Berlin"}, "workflow": {"guest/echo"}, "input": {`"x"`}, "overlap": {"queue"}, "jitter": {"30s"}, "labels": {"team=a"}}
	form.Set("do", "preview")
	if _, body := s.send("POST", "/new/schedule", form); strings.Count(body, "02:30:00 CE") != 10 || !strings.Contains(body, "flawless schedule add nightly guest echo --cron") {
		t.Errorf("the preview has %d times", strings.Count(body, "02:30:00 CE"))
	}
	form.Set("cron", "61 * * * *")
	if resp, body := s.send("POST", "/new/schedule", form); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "is invalid") {
		t.Errorf("an odd expression: status %d", resp.StatusCode)
	}
	form.Set("cron", "30 2 * * *")
	form.Set("do", "save")
	if resp, body := s.send("POST", "/new/schedule", form); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	if resp, body := s.send("POST", "/new/schedule", form); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "already exists") {
		t.Errorf("the same name again: status %d", resp.StatusCode)
	}
	get := func() flawless.Schedule {
		x, err := s.client.Schedule(t.Context(), "nightly")
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := get(); x.Overlap != flawless.Queue || x.JitterMS != 30_000 || string(x.Input) != `"x"` || x.Labels["team"] != "a" {
		t.Errorf("the schedule is %+v", x)
	}
	const path = "/schedules/nightly"
	_, body := s.get(path)
	once := hiddenField(t, body, "once")
	for range 2 {
		if resp, _ := s.send("POST", path, url.Values{"do": {"trigger"}, "once": {once}}); resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(resp.Header.Get("Location"), "/runs/") {
			t.Fatalf("triggering it: status %d", resp.StatusCode)
		}
	}
	if x := get(); x.Started != 1 {
		t.Errorf("it has started %d runs", x.Started)
	}
	s.send("POST", path, url.Values{"do": {"pause"}, "why": {"holiday"}})
	if x := get(); !x.Paused || x.Note != "holiday" {
		t.Errorf("it is %+v", x)
	}
	if _, body = s.send("POST", path, url.Values{"do": {"backfill"}, "from": {"2026-01-01"}, "to": {"2026-01-03"}}); !strings.Contains(body, "2 started, 0 existed already") {
		t.Errorf("backfilling: %s", body)
	}
	if resp, _ := s.send("POST", path, url.Values{"do": {"backfill"}, "from": {"x"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an odd range: status %d", resp.StatusCode)
	}
	form.Set("cron", "0 5 * * *")
	form.Del("name")
	if resp, _ := s.send("POST", path, form); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("changing it: status %d", resp.StatusCode)
	}
	if x := get(); x.Cron != "0 5 * * *" || !x.Paused || x.Started != 1 {
		t.Errorf("it is %+v", x)
	}
	s.send("POST", path, url.Values{"do": {"resume"}})
	if get().Paused {
		t.Error("it is still paused")
	}
	if resp, _ := s.send("POST", path, url.Values{"do": {"remove"}}); resp.Header.Get("Location") != "/schedules" {
		t.Errorf("removing it: status %d", resp.StatusCode)
	}
}

func TestLimitsSayWhoWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	host := strings.TrimPrefix(s.outside.URL, "http://")
	if _, err := s.client.SetLimit(t.Context(), host, "1/d", 1); err != nil {
		t.Fatal(err)
	}
	s.start("charge", "first", s.outside.URL+"/", nil)
	if _, _, err := s.client.Start(t.Context(), client.Start{Module: "guest", Workflow: "charge", Input: json.RawMessage(`"` + s.outside.URL + `/"`), ID: "limited"}, false); err != nil {
		t.Fatal(err)
	}
	s.until("limited", func(r flawless.Run) bool { return r.Waiting != nil && r.Waiting.Kind == flawless.WaitLimit })
	s.fillPages()
	_, body := s.get("/limits")
	for _, want := range []string{"api.example.com", "10/s", "honoured for 24 h", `href="/runs/pending"`, `href="/runs/limited"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	for _, row := range []struct {
		form   url.Values
		status int
	}{
		{url.Values{"do": {"limit"}, "host": {"b.example.com"}, "rate": {"5/m"}, "burst": {"2"}}, 303}, {url.Values{"do": {"limit"}, "host": {"b.example.com"}, "rate": {"often"}}, 400},
		{url.Values{"do": {"limit"}, "host": {"b.example.com"}, "rate": {"5/m"}, "burst": {"two"}}, 400}, {url.Values{"do": {"unlimit"}, "host": {"api.example.com"}}, 303}, {url.Values{"do": {"unlimit"}, "host": {host}}, 303},
		{url.Values{"do": {"cap"}, "module": {"guest"}, "concurrency": {"0"}}, 303}, {url.Values{"do": {"cap"}, "module": {"none"}, "concurrency": {"1"}}, 404},
		{url.Values{"do": {"host"}, "host": {"c.example.com"}, "key": {"honoured"}, "within": {"12h"}, "retry": {"none"}}, 303},
		{url.Values{"do": {"host"}, "host": {"c.example.com"}, "key": {"honoured"}}, 400}, {url.Values{"do": {"unhost"}, "host": {"pay.example.com"}}, 303},
	} {
		if resp, body := s.send("POST", "/limits", row.form); resp.StatusCode != row.status || row.status != 303 && !strings.Contains(body, `role="alert"`) {
			t.Errorf("%v: status %d, want %d", row.form, resp.StatusCode, row.status)
		}
	}
	if _, body := s.send("POST", "/limits", url.Values{"do": {"host"}, "host": {"d.example.com"}, "key": {"honoured"}, "within": {"soon"}}); !strings.Contains(body, `value="soon"`) || !strings.Contains(body, "honoured\" selected") || strings.Count(body, "d.example.com") != 1 {
		t.Error("what was filled in is lost, or in another form")
	}
	limits, err := s.client.Limits(t.Context())
	if err != nil || len(limits) != 1 || limits[0].Host != "b.example.com" || limits[0].Rate() != "5/m" || limits[0].Burst != 2 {
		t.Errorf("the limits are %+v, %v", limits, err)
	}
	hosts, err := s.client.Hosts(t.Context())
	if err != nil || len(hosts) != 1 || hosts[0].Key() != 12*time.Hour || hosts[0].RetryForMS == nil {
		t.Errorf("the hosts are %+v, %v", hosts, err)
	}
	s.until("pending", func(r flawless.Run) bool { return r.Status != flawless.Pending }) // the cap is gone
}

func TestStateShowsWhoHoldsAndWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.fillPages()
	if _, body := s.get("/state"); !strings.Contains(body, `href="/runs/holds"`) {
		t.Error("the list does not name the holder")
	}
	state := "/state/" + url.PathEscape("stock/<b>")
	if _, body := s.get("/runs/queues"); !strings.Contains(body, `href="`+state+`"`) {
		t.Error("the run that waits does not lead to the state")
	}
	if _, body := s.get("/"); !strings.Contains(body, `href="/schedules/nightly"`) {
		t.Error("the overview does not lead to the schedule")
	}
	_, body := s.get(state)
	held, waiting, _ := strings.Cut(body, "<h2>Waiting</h2>")
	if !strings.Contains(held, "/runs/holds#call=") || !strings.Contains(waiting, "/runs/queues#call=") {
		t.Error("the page does not name the holder and the run that waits")
	}
}

func TestPromisesAreSettledByForms(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for _, id := range []string{"asks-1", "asks-2"} {
		s.start("ask", id, "approval", nil)
		s.until(id, func(r flawless.Run) bool { return r.Waiting != nil && r.Waiting.Kind == flawless.WaitPromise })
	}
	if _, body := s.get("/promises"); strings.Count(body, "Settle…") != 2 {
		t.Errorf("the list has %d promises", strings.Count(body, "Settle…"))
	}
	path := func(id string) string { return fmt.Sprintf("/runs/%s/promises/%d", id, s.promise(id).Call) }
	if _, body := s.get("/runs/asks-1"); !strings.Contains(body, `href="`+path("asks-1")+`"`) {
		t.Error("the run does not lead to its promise")
	} else if _, says, _ := strings.Cut(body, `id="sentence"`); !strings.Contains(says, "<code><bdi>approval</bdi></code>") {
		t.Error("the run does not name its promise as code")
	}
	first, second := path("asks-1"), path("asks-2")
	if _, body := s.get(first); !strings.Contains(body, `name="value/approved"`) || !strings.Contains(body, `name="value/limit"`) {
		t.Error("the form does not have the members of the type")
	}
	if resp, body := s.send("POST", first, url.Values{"do": {"settle"}, "value/limit": {"-1"}}); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "see the marked fields") {
		t.Errorf("a value that does not fit: status %d", resp.StatusCode)
	}
	if resp, body := s.send("POST", first, url.Values{"do": {"settle"}, "value/approved": {"true"}, "value/limit": {"7"}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("settling it: status %d: %s", resp.StatusCode, body)
	}
	if r, err := s.client.Run(t.Context(), "asks-1", true); err != nil || string(r.Output) != `{"approved":true,"limit":7}` {
		t.Errorf("the run returned %s, %v", r.Output, err)
	}
	if resp, body := s.get(first); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "settled it already") {
		t.Errorf("the settled promise: status %d", resp.StatusCode)
	}
	if resp, _ := s.send("POST", second, url.Values{"do": {"reject"}, "error": {" "}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("rejecting it without a reason: status %d", resp.StatusCode)
	}
	s.send("POST", second, url.Values{"do": {"reject"}, "error": {"declined"}})
	if r, err := s.client.Run(t.Context(), "asks-2", true); err != nil || r.Failure == nil || !strings.Contains(r.Failure.Message, "declined") {
		t.Errorf("the run is %+v, %v", r.Failure, err)
	}
}

func TestSecretValuesAreNeverShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	const value = "sk_live_0123456789"
	for _, form := range []url.Values{
		{"do": {"set"}, "name": {"STRIPE"}, "hosts": {"api.stripe.com\r\n*.stripe.com"}, "value": {value}},
		{"do": {"set"}, "name": {"odd name"}, "hosts": {"api.stripe.com"}, "value": {value}}, // refused
		{"do": {"rotate"}},
	} {
		resp, body := s.send("POST", "/secrets", form)
		if strings.Contains(body, value) || strings.Contains(fmt.Sprint(resp.Header), value) {
			t.Errorf("%v: the value comes back", form["do"])
		}
		if want := form.Get("name") == "odd name"; want != (resp.StatusCode == http.StatusBadRequest) {
			t.Errorf("%v: status %d", form, resp.StatusCode)
		}
	}
	all, err := s.client.Secrets(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Hosts) != 2 {
		t.Fatalf("the secrets are %+v, %v", all, err)
	}
	if _, body := s.get("/secrets"); !strings.Contains(body, "STRIPE") || !strings.Contains(body, "*.stripe.com") || strings.Contains(body, value) {
		t.Error("the page does not have the name and the hosts, or has the value")
	}
	s.send("POST", "/secrets", url.Values{"do": {"remove"}, "name": {"STRIPE"}})
	if all, err := s.client.Secrets(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("the secrets are %+v, %v", all, err)
	}
}

func TestSettingsShowAndRemoveViews(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.fillPages()
	if _, body := s.get("/settings"); !strings.Contains(body, `href="/runs?status=failed"`) || !strings.Contains(body, "accepts work") {
		t.Error("the page has no view, or no health")
	}
	s.send("POST", "/settings", url.Values{"do": {"unview"}, "view": {"<i>failed</i>"}})
	if all, err := s.client.Views(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("the views are %+v, %v", all, err)
	}
}

// node is a cluster of one node.
type node struct{ cluster.Roster }

// Away implements engine.Cluster.
func (*node) Away() (time.Time, string) { return time.Time{}, "" }

// Ready implements engine.Cluster.
func (*node) Ready(context.Context) error { return nil }

func TestNodesDrainAndAcceptTheHistory(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, "", mem.New(), func(st *store.Store, o *engine.Options) {
		if err := st.PutNode(t.Context(), nil, &flawless.Node{ID: "nod_1", Name: "<b>a", Address: "localhost:1", Version: "1", Calls: 2.5}); err != nil {
			t.Fatal(err)
		}
		if _, err := st.ChangeHistory(t.Context(), func(h *flawless.History) bool {
			*h = flawless.History{Open: true, Since: time.Unix(1e9, 0), Reasons: []string{"<i>the database went back"}, Held: 3, Known: 1,
				Rings: []flawless.HistoryRing{{ID: "rng_1", Node: "lost<i>", State: flawless.RingMissing, Why: "it had shards", Shards: []int{7}, Held: 3, Known: 1}}}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		o.Owner, o.Cluster = "nod_1", &node{cluster.Roster{Store: st, Self: "nod_1", Seen: func() cluster.View { return cluster.View{} }}}
	})
	_, body := s.get("/nodes")
	for _, want := range []string{"The database may have lost calls", "3 open runs are held", "&lt;i&gt;the database went back", "lost&lt;i&gt;", "missing", "Accept, and resume 3 runs", "&lt;b&gt;a", "2.5", `value="drain"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	draining := func() bool {
		all, err := s.client.Nodes(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0].Draining
	}
	if s.send("POST", "/nodes", url.Values{"do": {"drain"}, "node": {"nod_1"}}); !draining() {
		t.Error("the node does not drain")
	}
	if _, body := s.get("/nodes"); !strings.Contains(body, `value="undrain"`) {
		t.Error("the page does not offer to take it back")
	}
	if s.send("POST", "/nodes", url.Values{"do": {"undrain"}, "node": {"nod_1"}}); draining() {
		t.Error("the node still drains")
	}
	if resp, body := s.send("POST", "/nodes", url.Values{"do": {"drain"}, "node": {"none"}}); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, `role="alert"`) {
		t.Errorf("an unknown node: status %d", resp.StatusCode)
	}
	s.send("POST", "/nodes", url.Values{"do": {"accept"}, "note": {"restored"}})
	if h, err := s.client.History(t.Context()); err != nil || h.Open || h.Note != "restored" || h.Who != who {
		t.Errorf("the history is %+v, %v", h, err)
	}
	if _, body := s.get("/nodes"); !strings.Contains(body, "The history was accepted") {
		t.Error("the page does not say that the history was accepted")
	}
}

// TestStreamsAreReadWhileTheyAreWritten checks that the progress of the API reaches a page at once, and that a reader who leaves
// ends the handler.
func TestStreamsAreReadWhileTheyAreWritten(t *testing.T) {
	t.Parallel()
	ended, next := make(chan error, 1), make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte("first"))
		<-next
		_, err := w.Write([]byte("second"))
		ended <- err
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	resp, err := inProcess{h}.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp, err)
	}
	b := make([]byte, 5)
	if _, err := resp.Body.Read(b); err != nil || string(b) != "first" {
		t.Fatalf("%s, %v", b, err)
	}
	go func() { next <- true }()
	_ = resp.Body.Close() // waits for the handler
	if err := <-ended; err == nil {
		t.Error("the handler writes to a reader who has left")
	}
	resp, err = inProcess{http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })}.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(b); err == nil || !strings.Contains(err.Error(), "broke the answer off") {
		t.Errorf("a handler that panics ends the answer with %v", err)
	}
}
