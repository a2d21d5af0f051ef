package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/session"
)

// text returns what people read of a page.
func text(page string) string {
	_, main, _ := strings.Cut(page, `<main`)
	main = regexp.MustCompile(`(?s)<script.*?</script>|<[^>]*>`).ReplaceAllString(main, " ")
	return strings.Join(strings.Fields(html.UnescapeString(main)), " ")
}

// found returns what the group of an expression matches in a page.
func found(t *testing.T, page, expression string) string {
	t.Helper()
	m := regexp.MustCompile(expression).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page lacks %s: %s", expression, text(page))
	}
	return m[1]
}

func wants(t *testing.T, where, page string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(page, want) {
			t.Errorf("%s lacks %q", where, want)
		}
	}
}

func TestOverviewSaysWhatIsWrongAndWhy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	_, page := s.get("/")
	wants(t, "the overview of an empty server", text(page), "Nothing has run here yet", "flawless new hello", "flawless deploy hello", `flawless run hello greet '"world"'`, "No run has started or ended")
	for i := range 12 {
		s.start("fail", fmt.Sprintf("failed-%d", i), fmt.Sprintf("shipping order %d: no stock", i), nil)
	}
	s.start("fail", "other", "the card was refused", nil)
	s.start("echo", "good", "x", nil)
	s.start("wait", "sleeper", 72, nil)
	for i := range 3 {
		s.start("charge", fmt.Sprintf("doubt-%d", i), s.outside.URL+"/hang", nil)
	}
	_, page = s.get("/")
	host := strings.TrimPrefix(s.outside.URL, "http://")
	wants(t, "the overview", text(page), "Needs a decision 3 the oldest", "3 "+host+" sent, and no complete response came", "Waiting 1 ", "Ended, 24 h 14 13 failed",
		"shipping order N: no stock guest 12 ", "the card was refused guest 1 ")
	if strings.Contains(page, "Nothing has run here yet") {
		t.Error("the overview says that nothing has run")
	}
	wants(t, "the chart", page, `data-says="18 started, 1 completed, 13 failed"`)
	if _, day := s.get("/?span=day"); strings.Count(day, `class="bar"`) != 96 || strings.Count(page, `class="bar"`) != 60 {
		t.Errorf("the charts have %d and %d bars", strings.Count(page, `class="bar"`), strings.Count(day, `class="bar"`))
	}
	// The reason leads to its runs, and to no others.
	link := html.UnescapeString(found(t, page, `href="(/runs\?[^"]*text=[^"]*)"`))
	if _, list := s.get(link); strings.Count(list, "data-row") != 12 || !strings.Contains(list, `id="r-failed-0"`) {
		t.Errorf("%s leads to %d runs", link, strings.Count(list, "data-row"))
	}
}

func TestRunsAreFilteredAsInTheAPI(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("echo", "order-1", "x", map[string]string{"customer": "c-1", "channel": "web"})
	s.start("echo", "order-2", "x", map[string]string{"customer": "c-1"})
	s.start("fail", "trip-1", "No Rooms left", nil)
	s.start("wait", "sleeper", 72, nil)
	for query, want := range map[string]string{
		"":                      "sleeper trip-1 order-2 order-1",
		"prefix=order":          "order-2 order-1",
		"text=no+rooms":         "trip-1",
		"status=failed":         "trip-1",
		"status=failed,waiting": "sleeper trip-1",
		"workflow=echo":         "order-2 order-1",
		"label=customer%3Dc-1":  "order-2 order-1",
		"label=customer%3Dc-1&label=channel%3Dweb": "order-1",
		"module=other":           "",
		"parent=order-1":         "",
		"within=1h":              "sleeper trip-1 order-2 order-1",
		"until=2020-01-01":       "",
		"since=2020-01-01T00:00": "sleeper trip-1 order-2 order-1",
		"retrying=true":          "",
		"limit=1":                "sleeper",
	} {
		resp, page := s.get("/runs?" + query)
		var ids []string
		for _, row := range regexp.MustCompile(`data-row data-id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			ids = append(ids, row[1])
		}
		if got := strings.Join(ids, " "); resp.StatusCode != http.StatusOK || got != want {
			t.Errorf("/runs?%s: status %d, %q, want %q", query, resp.StatusCode, got, want)
		}
	}
	for _, query := range []string{"within=odd", "within=0d", "within=-1h", "limit=0", "until=odd"} {
		if resp, _ := s.get("/runs?" + query); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("/runs?%s: status %d", query, resp.StatusCode)
		}
	}
	// What a form leaves empty is not in the URL that people send to each other.
	if resp, _ := s.get("/runs?prefix=&module=guest&label=&status=failed"); resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/runs?module=guest&status=failed" {
		t.Errorf("a form leads to %q, status %d", resp.Header.Get("Location"), resp.StatusCode)
	}
	_, page := s.get("/runs?status=failed&module=guest&text=no+rooms")
	wants(t, "the page", text(page), "flawless workflow list --status failed --module guest --text 'no rooms'")
	_, page = s.get("/runs?status=waiting")
	wants(t, "the count and the wait", text(page), "1 of 4", "Waits until", "for ")
	_, page = s.get("/runs?col=labels&col=ended&limit=2")
	wants(t, "the chosen columns", text(page), "Labels Ended", "sleeper")
	if strings.Contains(page, `class="c-workflow"`) || !strings.Contains(page, `class="c-labels"`) {
		t.Error("columns are shown that nobody has chosen")
	}
	next := html.UnescapeString(found(t, page, `href="(/runs\?[^"]*cursor=[^"]*)"`))
	if _, page := s.get(next); !strings.Contains(page, `data-id="order-1"`) || strings.Contains(page, `data-id="sleeper"`) || !strings.Contains(text(page), "Labels Ended") {
		t.Errorf("%s is not the next page", next)
	}
}

func TestViewsAreKeptOnTheServer(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("fail", "trip-1", "x", nil)
	form := url.Values{"name": {"Failed <trips>"}, "query": {"module=guest&status=failed&col=why"}}
	resp, _ := s.send("POST", "/views", form)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/runs?module=guest&status=failed&col=why" {
		t.Fatalf("status %d, %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	views, err := s.client.Views(t.Context())
	if err != nil || len(views) != 1 || views[0] != (flawless.View{Name: "Failed <trips>", Page: "runs", Query: "col=why&module=guest&status=failed"}) {
		t.Fatalf("%+v, %v", views, err)
	}
	_, page := s.get("/runs?module=guest&status=failed&col=why")
	wants(t, "the page of the view", text(page), "Failed <trips> 1 ", "Remove view")
	wants(t, "the tab", page, `href="/runs?col=why&amp;module=guest&amp;status=failed" aria-current="true"`)
	if resp, _ := s.send("POST", "/views", url.Values{"name": {"bad\n"}, "query": {""}}); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a name with a space after it: status %d", resp.StatusCode)
	}
	if resp, page := s.send("POST", "/views", url.Values{"name": {strings.Repeat("x", 101)}}); resp.StatusCode/100 != 4 || !strings.Contains(page, "1 to 100") {
		t.Errorf("a long name: status %d", resp.StatusCode)
	}
	form.Set("do", "remove")
	if resp, _ := s.send("POST", "/views", form); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("removing it: status %d", resp.StatusCode)
	}
	if views, err := s.client.Views(t.Context()); err != nil || len(views) != 1 || views[0].Name != "bad" {
		t.Errorf("%+v, %v", views, err)
	}
}

func TestBulkChangesAllThatMatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	for i := range 70 {
		s.start("wait", fmt.Sprintf("w-%d", i), 72, nil)
	}
	s.start("echo", "done", "x", nil)
	form := url.Values{"match": {"1"}, "query": {"prefix=w-"}, "verb": {"terminate"}, "run": {"w-1"}, "note": {"clean up"}}
	resp, page := s.send("POST", "/runs", form)
	wants(t, "the preview", text(page), "Terminate 70 runs", "70 runs end at once; nothing is taken back", "70 Waiting")
	wants(t, "the command", text(page), "flawless workflow terminate --before 20", "--prefix w-")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	s.start("wait", "w-late", 72, nil) // nobody has seen it
	form = url.Values{"step": {"do"}}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Add(field[1], html.UnescapeString(field[2]))
	}
	if resp, page := s.send("POST", "/runs", form); resp.StatusCode != http.StatusOK || strings.Count(text(page), "Terminated") != 70 {
		t.Errorf("doing it: status %d, %d terminated", resp.StatusCode, strings.Count(text(page), "Terminated"))
	}
	for id, want := range map[string]flawless.Status{"w-0": flawless.Terminated, "w-69": flawless.Terminated, "w-late": flawless.Waiting, "done": flawless.Completed} {
		if r, err := s.client.Run(t.Context(), id, false); err != nil || r.Status != want {
			t.Errorf("%s is %s, want %s, %v", id, r.Status, want, err)
		}
	}
	if resp, page := s.send("POST", "/runs", url.Values{"verb": {"restart"}, "run": {"w-0"}}); resp.StatusCode != http.StatusOK || !strings.Contains(text(page), "flawless workflow restart w-0") {
		t.Errorf("the preview of a restart: status %d", resp.StatusCode)
	}
	for name, form := range map[string]url.Values{"no run": {"verb": {"cancel"}}, "no verb": {"run": {"w-0"}}, "an odd filter": {"verb": {"cancel"}, "match": {"1"}, "query": {"status=odd"}}} {
		if resp, _ := s.send("POST", "/runs", form); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
}

func TestBulkTakesTheOptionsOfCommands(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("wait", "a", 72, nil)
	s.start("fail", "b", "x", nil)
	if _, page := s.send("POST", "/runs", url.Values{"verb": {"cancel"}, "run": {"a"}}); !strings.Contains(page, `name="within"`) {
		t.Error("the preview of a cancellation has no time after which runs are terminated")
	}
	if resp, _ := s.send("POST", "/runs", url.Values{"verb": {"cancel"}, "run": {"a"}, "step": {"do"}, "within": {"soon"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an odd time: status %d", resp.StatusCode)
	}
	if r, _ := s.client.Run(t.Context(), "a", false); r.CancelRequested {
		t.Error("it was cancelled all the same")
	}
	s.send("POST", "/runs", url.Values{"verb": {"cancel"}, "run": {"a"}, "step": {"do"}, "within": {"90m"}})
	deadline := time.Time{}
	for rec, err := range s.client.WholeLog(t.Context(), "a") {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range rec.Entries {
			if e.Cancel != nil {
				deadline = time.Unix(0, e.Cancel.Deadline)
			}
		}
	}
	if in := time.Until(deadline); in < 80*time.Minute || in > 90*time.Minute {
		t.Errorf("it is terminated in %v", in)
	}
	if resp, page := s.send("POST", "/runs", url.Values{"verb": {"restart"}, "run": {"b"}, "step": {"do"}, "version": {"7"}}); resp.StatusCode != http.StatusOK || !strings.Contains(text(page), "7") || !strings.Contains(page, "st failed") {
		t.Errorf("a version that does not exist: status %d: %s", resp.StatusCode, text(page))
	}
}

// inboxOf returns a server with calls to two hosts whose outcome is unknown.
func inboxOf(t *testing.T, n int) *site {
	s := newSite(t, "")
	other := strings.Replace(s.outside.URL, "127.0.0.1", "localhost", 1)
	for i := range n {
		s.start("charge", fmt.Sprintf("a-%d", i), s.outside.URL+"/hang", nil)
	}
	s.start("charge", "b-0", other+"/hang", nil)
	return s
}

func TestInboxGroupsByHostAndReason(t *testing.T) {
	t.Parallel()
	s := inboxOf(t, 3)
	host := strings.TrimPrefix(s.outside.URL, "http://")
	_, page := s.get("/inbox")
	wants(t, "the inbox", text(page), "4 calls whose outcome nobody can know", "Did POST "+host+"/hang of a-2 take effect?", "intended", "connected", "sent", "unknown", "What was sent · 21 bytes", `"card": "<b>tok</b>"`,
		"flawless workflow resolve a-2 --call 2 --retry")
	if n := strings.Count(page, `name="group"`); n != 2 {
		t.Errorf("there are %d groups", n)
	}
	for query, rows := range map[string]int{"host=" + host: 3, "host=localhost%3A" + strings.Split(host, ":")[1]: 1, "host=nobody": 0, "reason=NO+COMPLETE": 4, "reason=odd": 0,
		"module=guest": 4, "module=x": 0, "after=2020-01-01": 4, "before=2020-01-01": 0} {
		if resp, page := s.get("/inbox?" + query); resp.StatusCode != http.StatusOK || strings.Count(page, "data-row") != rows {
			t.Errorf("/inbox?%s: status %d, %d rows, want %d", query, resp.StatusCode, strings.Count(page, "data-row"), rows)
		}
	}
	if resp, _ := s.get("/inbox?after=odd"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an odd time: status %d", resp.StatusCode)
	}
	if resp, page := s.get("/inbox?run=nobody&call=1"); resp.StatusCode != http.StatusOK || !strings.Contains(page, `role="alert"`) {
		t.Errorf("a run that does not exist: status %d", resp.StatusCode)
	}
}

func TestOneDecisionForMany(t *testing.T) {
	t.Parallel()
	s := inboxOf(t, 4)
	_, page := s.get("/inbox")
	group := found(t, page, `name="group" value="([^"]*)"`) // the larger one
	form := url.Values{"group": {group}, "pick": {"call=2&run=a-0"}, "resolution": {"error"}, "text": {"not booked"}, "note": {"INC-7"}, "run": {"a-3"}, "call": {"2"}}
	resp, page := s.send("POST", "/inbox", form)
	wants(t, "the preview", text(page), "Decide about 4 calls", "4 calls of 4 runs return the error that you have given", "flawless workflow resolve --host 127.0.0.1", "--error 'not booked' --note INC-7")
	if resp.StatusCode != http.StatusOK || strings.Contains(page, ">b-0<") {
		t.Fatalf("status %d; or another host is in it", resp.StatusCode)
	}
	if r, _ := s.client.Run(t.Context(), "a-0", false); r.Status != flawless.Unresolved {
		t.Fatal("the preview has decided")
	}
	// Somebody else is faster at one of them.
	if _, err := s.client.Resolve(t.Context(), "a-1", flawless.Decision{Call: 2, Resolution: flawless.Fail, Who: "jo"}); err != nil {
		t.Fatal(err)
	}
	form = url.Values{"step": {"do"}}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Add(field[1], html.UnescapeString(field[2]))
	}
	form.Set("note", "INC-7")
	if resp, page := s.send("POST", "/inbox", form); resp.StatusCode != http.StatusOK || !strings.Contains(text(page), "Decide about 3 calls") {
		t.Errorf("doing it: status %d: %s", resp.StatusCode, text(page))
	}
	for _, id := range []string{"a-0", "a-2", "a-3"} {
		r, err := s.client.Run(t.Context(), id, true)
		if err != nil || r.Status != flawless.Failed || !strings.Contains(r.Failure.Message, "not booked") {
			t.Errorf("%s is %s, %+v, %v", id, r.Status, r.Failure, err)
		}
		logged := ""
		for rec, err := range s.client.WholeLog(t.Context(), id) {
			if err != nil {
				t.Fatal(err)
			}
			b, _ := json.Marshal(rec)
			logged += string(b)
		}
		if strings.Count(logged, "INC-7") != 1 {
			t.Errorf("the log of %s does not have the decision once", id)
		}
	}
	if r, _ := s.client.Run(t.Context(), "b-0", false); r.Status != flawless.Unresolved {
		t.Error("a call to another host was decided")
	}
	if resp, page := s.send("POST", "/inbox", url.Values{"pick": {"call=2&run=a-0"}, "resolution": {"fail"}}); resp.StatusCode != http.StatusConflict || !strings.Contains(text(page), "somebody else has decided about all") {
		t.Errorf("deciding again: status %d", resp.StatusCode)
	}
	if resp, _ := s.send("POST", "/inbox", url.Values{"pick": {"call=2&run=b-0"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without a decision: status %d", resp.StatusCode)
	}
	if resp, _ := s.send("POST", "/inbox", url.Values{"run": {"b-0"}, "call": {"2"}, "resolution": {"response"}, "status": {"99"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("with an odd status: status %d", resp.StatusCode)
	}
}

// TestRefusedDecisionKeepsWhatWasTyped checks that nothing has to be typed twice, and that it is not given for another call.
func TestRefusedDecisionKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := inboxOf(t, 2)
	_, page := s.get("/inbox")
	group := found(t, page, `name="group" value="([^"]*)"`)
	given := url.Values{"run": {"a-1"}, "call": {"2"}, "resolution": {"response"}, "status": {"99"}, "body": {`{"id":"<b>"}`}, "note": {"as they say"}, "group": {group}, "pick": {"call=2&run=a-0"}}
	resp, page := s.send("POST", "/inbox", given)
	if resp.StatusCode != http.StatusBadRequest || strings.Contains(text(page), "invalid.") {
		t.Errorf("status %d: %s", resp.StatusCode, text(page))
	}
	wants(t, "the form", page, `value="response" required checked`, `name="status" value="99"`, `{&#34;id&#34;:&#34;&lt;b&gt;&#34;}</textarea>`, `name="note" value="as they say"`,
		`value="`+group+`" checked`, `value="call=2&amp;run=a-0" checked`)
	given.Del("group")
	given.Del("pick")
	given.Set("status", "200")
	if resp, _ := s.send("POST", "/inbox", given); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the decision: status %d", resp.StatusCode)
	}
	if resp, page := s.send("POST", "/inbox", given); resp.StatusCode != http.StatusConflict || strings.Contains(page, `value="as they say"`) {
		t.Errorf("the second decision: status %d, and what was typed is there again: %t", resp.StatusCode, strings.Contains(page, `value="as they say"`))
	}
}

func TestDecisionLeadsToTheNextCall(t *testing.T) {
	t.Parallel()
	s := inboxOf(t, 3)
	_, page := s.get("/inbox")
	next := html.UnescapeString(found(t, page, `name="next" value="([^"]*)"`))
	resp, _ := s.send("POST", "/inbox", url.Values{"run": {"a-2"}, "call": {"2"}, "resolution": {"fail"}, "next": {next}})
	to := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusSeeOther || next != "call=2&run=a-1" || to != "/inbox?call=2&decided=a-2&run=a-1" {
		t.Fatalf("status %d, next %q, leads to %q", resp.StatusCode, next, to)
	}
	_, page = s.get(to)
	wants(t, "the next page", text(page), "Decided: a-2", "of a-1 take effect?")
}

func TestHiddenCharactersAreShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<p>a\u202eb</p>":                        "<p>a⟨U+202E⟩b</p>",
		"<a title=\"a\u202eb\" id=\"c\u200bd\">": `<a title="a⟨U+202E⟩b" id="c&#x200B;d">`,
		"<input value=\"\u202e\">\u202e":         `<input value="&#x202E;">⟨U+202E⟩`,
		"<td aria-label=\"x\ufeff\">plain":       `<td aria-label="x⟨U+FEFF⟩">plain`,
		"nothing":                                "nothing",
	} {
		if got := string(reveal([]byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestWaitsAreWordsWithTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	until := now.Add(2 * time.Hour)
	for want, w := range map[string]flawless.Wait{
		"Waits until @ for the timer at [main.go:58]":                        {Kind: flawless.WaitTimer, Site: "main.go:58", Until: &until},
		"Waits for message [approve] at [main.go:60], or until @":            {Kind: flawless.WaitMessage, Name: "approve", Site: "main.go:60", Until: &until},
		"Waits for the answer to [POST pay.example/x], and for 2 more calls": {Kind: flawless.WaitCall, Name: "POST https://pay.example/x", Others: 2},
		"Waits for run [a.1]":                      {Kind: flawless.WaitChild, Name: "a.1"},
		"Waits for message [a'b�]":                 {Kind: flawless.WaitMessage, Name: "a`b\x00"},
		"Waits to begin under concurrency key [k]": {Kind: flawless.WaitQueue, Name: "k"},
		"Waits for a person to resume it":          {Kind: flawless.WaitPerson},
	} {
		got := ""
		for _, p := range explain(flawless.Run{Status: flawless.Waiting, Waiting: &w}, now) {
			switch {
			case p.At != nil && p.At.Equal(until):
				got += "@"
			case p.Code != "":
				got += "[" + p.Code + "]"
			default:
				got += p.Text
			}
		}
		if got != want {
			t.Errorf("%+v is %q, want %q", w, got, want)
		}
	}
}

func TestCommandsCanBePasted(t *testing.T) {
	t.Parallel()
	got := commandOf("cancel", flawless.Filter{Status: []flawless.Status{"failed"}, Text: `it's "$HOME"; rm -rf /`, Labels: map[string]string{"b": "2", "a": "1"}, Retrying: true})
	if want := `flawless workflow cancel --status failed --label a=1 --label b=2 --retrying --text 'it'\''s "$HOME"; rm -rf /'`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for _, f := range []inboxFilter{{}, {Host: "x", Reason: "a b", Module: "m", After: time.Unix(0, 0), Before: time.Unix(60, 0)}} {
		back, err := inboxFilterOf(f.query())
		if err != nil || back.Host != f.Host || back.Reason != f.Reason || back.Module != f.Module || !back.After.Equal(f.After) || !back.Before.Equal(f.Before) {
			t.Errorf("%+v becomes %+v, %v", f, back, err)
		}
	}
}

// TestLinksFromOtherSites checks what a browser does that follows a link from elsewhere, with a login and without.
func TestLinksFromOtherSites(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	s := newSite(t, token)
	s.start("wait", "order-1", 72, nil)
	elsewhere := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	cookie := []string{"Cookie", cookieName + "=" + session.New(token).Cookie(time.Now())}
	if resp, page := s.get("/runs/order-1", append(elsewhere, cookie...)...); resp.StatusCode != http.StatusOK || resp.Header.Get("Cross-Origin-Opener-Policy") != "same-origin" || !strings.Contains(page, "order-1") {
		t.Errorf("a link with a login: status %d, %v", resp.StatusCode, resp.Header)
	}
	if resp, page := s.get("/runs/order-1", elsewhere...); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(page, `name="to" value="/runs/order-1"`) {
		t.Errorf("a link without a login: status %d", resp.StatusCode)
	}
	// A link that logs in changes something, so a person has to press a button.
	link := "/login?code=" + session.New(token).Code(time.Now()) + "&to=/runs"
	resp, page := s.get(link, elsewhere...)
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) > 0 {
		t.Fatalf("the link of a login from elsewhere: status %d, %v", resp.StatusCode, resp.Cookies())
	}
	form := url.Values{}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Add(field[1], html.UnescapeString(field[2]))
	}
	if resp, _ := s.send("POST", "/login", form); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/runs" || len(resp.Cookies()) != 1 {
		t.Errorf("the button of a login: status %d", resp.StatusCode)
	}
	if resp, _ := s.send("POST", "/login", form); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the button again: status %d", resp.StatusCode)
	}
	c := &console{}
	for _, row := range []struct {
		method, path, accept string
		is                   bool
	}{{"GET", "/", "text/html", true}, {"GET", "/runs/x", "text/html", true}, {"GET", "/login", "", true}, {"GET", "/api/v1/runs", "text/html", false}, {"GET", "/metrics", "text/html", false},
		{"GET", "/runs", "*/*", false}, {"POST", "/runs", "text/html", false}, {"GET", "/static/console.js", "text/html", false}, {"HEAD", "/runs", "text/html", false}} {
		r, err := http.NewRequestWithContext(t.Context(), row.method, row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", row.accept)
		if c.Linkable(r) != row.is {
			t.Errorf("%s %s with %q may be linked to: %v", row.method, row.path, row.accept, !row.is)
		}
	}
}

func TestServerWithoutTokenSaysSo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	resp, page := s.get("/login")
	wants(t, "the login", text(page), "This server has no token", "--token-file")
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	if resp, _ := s.get("/login?code=old&to=/runs"); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/runs" {
		t.Errorf("an old link leads to %q", resp.Header.Get("Location"))
	}
}

// TestRetriesAreUrged checks that a bulk retry is about calls, several of one run included.
func TestRetriesAreUrged(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	in := json.RawMessage(`{"url":"http://127.0.0.1:1","n":2,"each":2}`) // nobody listens there
	if _, _, err := s.client.Start(t.Context(), client.Start{Module: "guest", Workflow: "many", Input: in, ID: "r"}, false); err != nil {
		t.Fatal(err)
	}
	form, page := url.Values{"verb": {"retry"}, "match": {"1"}, "query": {"retrying=true"}}, ""
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if _, page = s.send("POST", "/runs", form); strings.Contains(page, "Retry now 2 calls") {
			break
		}
		<-tick.C
	}
	wants(t, "the preview", text(page), "Retry now 2 calls", "2 calls are tried again at once", "r call 2 GET 127.0.0.1:1/page/", "r call 3 GET")
	form.Set("step", "do")
	if resp, page := s.send("POST", "/runs", form); resp.StatusCode != http.StatusOK || strings.Contains(page, "st failed") {
		t.Errorf("status %d: %s", resp.StatusCode, text(page))
	}
}

// TestUnseenCallsNeedConfirmation checks that calls whose server was not seen to stop are sent again only if people confirm
// it. Only a cluster has such calls, so the answers of the API are changed on the way.
func TestUnseenCallsNeedConfirmation(t *testing.T) {
	t.Parallel()
	s := inboxOf(t, 2)
	var confirmed []bool
	api := s.Config.Handler.(*console).API
	s.Config.Handler = Handler(Options{Log: slog.New(slog.DiscardHandler), API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/resolve") {
			b, _ := io.ReadAll(r.Body)
			confirmed = append(confirmed, strings.Contains(string(b), `"confirm":true`))
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		got := &recorder{header: w.Header(), status: http.StatusOK}
		api.ServeHTTP(got, r)
		w.WriteHeader(got.status)
		_, _ = w.Write(bytes.ReplaceAll(got.body.Bytes(), []byte(`"request":"POST`), []byte(`"unseen":true,"request":"POST`)))
	})})
	_, page := s.get("/inbox?run=a-0&call=2")
	wants(t, "the inbox", text(page), "was not seen to stop", "I have made sure that the process of that server has ended")
	form := url.Values{"pick": {"call=2&run=a-0", "call=2&run=a-1"}, "resolution": {"retry"}}
	_, page = s.send("POST", "/inbox", form)
	wants(t, "the preview", text(page), "Of 2 of these calls, the server was not seen to stop")
	wants(t, "the preview", page, `name="confirm" value="1" required`)
	form.Set("step", "do")
	if resp, page := s.send("POST", "/inbox", form); resp.StatusCode != http.StatusBadRequest || !strings.Contains(text(page), "confirm that the processes") || len(confirmed) > 0 {
		t.Errorf("without a confirmation: status %d, %v", resp.StatusCode, confirmed)
	}
	form.Set("confirm", "1")
	if resp, _ := s.send("POST", "/inbox", form); resp.StatusCode != http.StatusOK || len(confirmed) != 2 || !confirmed[0] || !confirmed[1] {
		t.Errorf("with a confirmation: status %d, %v", resp.StatusCode, confirmed)
	}
	form.Set("resolution", "fail") // ends the runs, so nothing is sent
	form.Del("step")
	form.Set("pick", "call=2&run=b-0")
	if _, page := s.send("POST", "/inbox", form); strings.Contains(page, `name="confirm"`) {
		t.Error("a decision that sends nothing asks for a confirmation")
	}
}

// TestOverviewShowsNodesAndHealth answers for a cluster that is not well.
func TestOverviewShowsNodesAndHealth(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.start("echo", "x", "x", nil)
	answers := map[string]string{
		"/api/v1/nodes": `[{"id":"1","name":"<b>one","shards":128,"guests":7,"self":true},{"id":"2","name":"two","dead":true},{"id":"3","name":"three","shards":128,"questioned":true},{"id":"4","name":"four","draining":true}]`,
		"/api/v1/health": `{"state":"full","message":"no space is left on the disk","history":"the database has lost writes; see flawless history","held":12,"version":"1","open":3,"live":2,"retrying":4,"aside":1,
			"check":{"running":true,"read":50,"total":200,"damaged":2}}`,
	}
	api := s.Config.Handler.(*console).API
	s.Config.Handler = Handler(Options{Log: slog.New(slog.DiscardHandler), API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := answers[r.URL.Path]; answer != "" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
			return
		}
		api.ServeHTTP(w, r)
	})})
	_, page := s.get("/")
	wants(t, "the overview", text(page), "The server is full. No space is left on the disk.", "Runs are held: 12. The database has lost writes", "2 files of the store are damaged", "<b>one this one 128 shards · 7 guests",
		"two does not answer", "three its calls are in question", "four draining", "Runs that retry a call 4", "Quarantined runs 1", "Check of the store 25 %")
}
