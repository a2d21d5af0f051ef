package web

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/form"
)

// Limits of the inbox.
const (
	maxDoubtful = 2000 // runs that are read
	inboxPage   = 100  // calls on one page
	maxHours    = 6    // of a group, that can be chosen
)

// doubt is a call whose outcome is unknown.
type doubt struct {
	Run flawless.Run
	flawless.Doubt
	Group string // key of its group
}

// Ref names the call in forms.
func (d doubt) Ref() string {
	return url.Values{"run": {d.Run.ID}, "call": {strconv.Itoa(d.Call)}}.Encode()
}

// group has the calls to one host whose outcome is unknown for the same reason.
type group struct {
	Key, Host, Reason string
	N                 int
	Oldest, Newest    time.Time
	Hours             []hour  // newest first; empty if there is only one
	Rows              []doubt // those on this page, newest first
	all               []doubt
}

// hour has the calls of a group whose outcome became unknown in it.
type hour struct {
	From time.Time
	N    int
	URL  string
}

// doubts has what the inbox is about.
type doubts struct {
	Groups []*group // the largest first
	N      int
	More   bool // there are more runs than were read
	Aside  int  // quarantined runs: they need a person, but there is no call to decide about
}

// inboxFilter says which calls are meant. Its fields are those of the flags of flawless workflow resolve.
type inboxFilter struct {
	Host, Reason, Module string
	After, Before        time.Time
}

func inboxFilterOf(q url.Values) (f inboxFilter, err error) {
	f = inboxFilter{Host: q.Get("host"), Reason: q.Get("reason"), Module: q.Get("module")}
	for name, to := range map[string]*time.Time{"after": &f.After, "before": &f.Before} {
		if text := q.Get(name); text != "" {
			if *to, err = parseTime(text); err != nil {
				return f, fmt.Errorf("%s is %.50q; use a time such as 2026-01-31T15:04 (UTC): %w", name, text, flawless.Invalid)
			}
		}
	}
	return f, nil
}

// query returns the filter as it is in a URL.
func (f inboxFilter) query() url.Values {
	q := url.Values{}
	for name, text := range map[string]string{"host": f.Host, "reason": f.Reason, "module": f.Module, "after": stamp(f.After), "before": stamp(f.Before)} {
		if text != "" {
			q.Set(name, text)
		}
	}
	return q
}

// link returns the part of a URL of the inbox after the path: for a page, and with a call that is open.
func (f inboxFilter) link(page int, x *doubt) string {
	q := f.query()
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if x != nil {
		q.Set("run", x.Run.ID)
		q.Set("call", strconv.Itoa(x.Call))
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (f inboxFilter) selects(d flawless.Doubt) bool {
	return (f.After.IsZero() || !d.Since.Before(f.After)) && (f.Before.IsZero() || d.Since.Before(f.Before)) &&
		strings.Contains(strings.ToLower(d.Reason+"\n"+d.Request), strings.ToLower(f.Reason)) && (f.Host == "" || f.Host == hostOf(d.Request))
}

// hostOf returns the host of a request such as "POST https://pay.example/charges", or the request if it is none of HTTP.
func hostOf(request string) string {
	_, address, found := strings.Cut(request, " ")
	if u, err := url.Parse(address); found && err == nil && u.Host != "" {
		return u.Host
	}
	return cmp.Or(request, "a call")
}

// numbers is what differs between reasons that are the same for people.
var numbers = regexp.MustCompile(`[0-9]+`)

// doubts reads the calls that need a decision, and groups them by host and reason.
func (v *visit) doubts(f inboxFilter) (d doubts, err error) {
	by := map[string]*group{}
	list := flawless.Filter{Status: []flawless.Status{flawless.Unresolved}, Module: f.Module, Limit: 1000}
	for read := 0; read < maxDoubtful; {
		runs, next, err := v.client.Runs(v.ctx(), list)
		if err != nil {
			return d, err
		}
		for _, r := range runs {
			if r.Problem != "" {
				d.Aside++
			}
			for _, x := range r.Unresolved {
				if f.selects(x) {
					d.add(by, doubt{Run: r, Doubt: x})
				}
			}
		}
		read += len(runs)
		list.Cursor, d.More = next, next != ""
		if next == "" {
			break
		}
	}
	slices.SortStableFunc(d.Groups, func(a, b *group) int { return cmp.Or(cmp.Compare(b.N, a.N), b.Newest.Compare(a.Newest)) })
	for _, g := range d.Groups {
		slices.SortStableFunc(g.all, func(a, b doubt) int { return b.Since.Compare(a.Since) })
		g.hours(f)
	}
	return d, nil
}

func (d *doubts) add(by map[string]*group, x doubt) {
	host := hostOf(x.Request)
	sum := fnv.New64a()
	_, _ = fmt.Fprintf(sum, "%q %q", host, numbers.ReplaceAllString(x.Reason, "N"))
	x.Group = strconv.FormatUint(sum.Sum64(), 36)
	g := by[x.Group]
	if g == nil {
		g = &group{Key: x.Group, Host: host, Reason: x.Reason, Oldest: x.Since, Newest: x.Since}
		by[x.Group] = g
		d.Groups = append(d.Groups, g)
	}
	g.N++
	d.N++
	g.all = append(g.all, x)
	if x.Since.Before(g.Oldest) {
		g.Oldest = x.Since
	}
	if x.Since.After(g.Newest) {
		g.Newest = x.Since
	}
}

// hours finds the hours of a group. Its calls are sorted.
func (g *group) hours(f inboxFilter) {
	for _, x := range g.all {
		at := x.Since.Truncate(time.Hour)
		if n := len(g.Hours); n > 0 && g.Hours[n-1].From.Equal(at) {
			g.Hours[n-1].N++
			continue
		}
		f.Host, f.After, f.Before = g.Host, at, at.Add(time.Hour)
		g.Hours = append(g.Hours, hour{at, 1, "/inbox" + f.link(0, nil)})
	}
	if len(g.Hours) == 1 {
		g.Hours = nil
	}
	g.Hours = g.Hours[:min(len(g.Hours), maxHours)]
}

// page keeps the calls of one page, and returns how many pages there are.
func (d *doubts) page(n int) (pages int) {
	skip, left := n*inboxPage, inboxPage
	for _, g := range d.Groups {
		from := min(skip, len(g.all))
		to := min(from+left, len(g.all))
		g.Rows = g.all[from:to]
		skip, left = skip-from, left-len(g.Rows)
	}
	return (d.N + inboxPage - 1) / inboxPage
}

// inbox lists the calls that need a decision, with the evidence about one of them.
func (c *console) inbox(v *visit) error { return v.showInbox(http.StatusOK, nil) }

func (v *visit) showInbox(status int, problem error) error {
	q := v.r.URL.Query()
	if v.tidy(q) {
		return nil
	}
	f, err := inboxFilterOf(q)
	if err != nil {
		return err
	}
	all, err := v.doubts(f)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(q.Get("page"))
	n = max(0, n-1)
	pages := all.page(n)
	d := map[string]any{"Inbox": all, "Filter": f, "Filtered": len(f.query()) > 0, "Page": n + 1, "Pages": pages,
		"Decided": q.Get("decided"), "Ref": "", "Call": 0, "Next": "", "Self": f.link(0, nil),
		"Link": func(page int) string { return f.link(page, nil) }, "Open": func(x doubt) string { return f.link(n+1, &x) }}
	if problem != nil {
		d["Problem"] = reason(problem)
	}
	id, call := v.r.Form.Get("run"), 0
	if id, err = url.QueryUnescape(id); err != nil {
		return fmt.Errorf("the form names no run: %w", flawless.Invalid)
	}
	call, _ = strconv.Atoi(v.r.Form.Get("call"))
	rows := []doubt{}
	for _, g := range all.Groups {
		rows = append(rows, g.Rows...)
	}
	if id == "" && len(rows) > 0 {
		id, call = rows[0].Run.ID, rows[0].Call
	}
	if id != "" {
		if err := v.evidence(d, id, call); err != nil {
			return err
		}
	}
	given := url.Values{}
	if problem != nil && d["Call"] == call { // what was typed about this call, but not what was about another one
		given = v.r.PostForm
	}
	d["Given"], d["Picked"] = given, func(name, ref string) bool { return slices.Contains(given[name], ref) }
	if i := slices.IndexFunc(rows, func(x doubt) bool { return x.Run.ID == id && x.Call == d["Call"] }); i >= 0 && len(rows) > 1 {
		d["Next"] = rows[(i+1)%len(rows)].Ref() // so that people can go on with the next one
	}
	v.show(status, "inbox.html", &view{Title: "Inbox", Here: "/inbox", Data: d})
	return nil
}

// decisions are what people can decide about a call.
var decisions = []flawless.Resolution{flawless.Respond, flawless.Retry, flawless.Tell, flawless.Fail}

// decisionOf reads a decision from a form. The call is that of each case.
func decisionOf(form url.Values) (x flawless.Decision, err error) {
	x = flawless.Decision{Resolution: flawless.Resolution(form.Get("resolution")), Who: who, Note: form.Get("note"), Confirm: form.Get("confirm") != ""}
	if !slices.Contains(decisions, x.Resolution) {
		return x, fmt.Errorf("choose one of the four decisions: %w", flawless.Invalid)
	}
	switch x.Resolution {
	case flawless.Respond:
		x.Body = flawless.Bytes(form.Get("body"))
		if text := form.Get("status"); text != "" {
			if x.Status, err = strconv.Atoi(text); err != nil || x.Status < 200 || x.Status > 599 {
				return x, fmt.Errorf("the status %.20q is none of HTTP; use one from 200 to 599: %w", text, flawless.Invalid)
			}
		}
	case flawless.Tell:
		x.Text = form.Get("text")
	}
	return x, nil
}

// decide takes a decision of a person about one call, or about many.
func (c *console) decide(v *visit) error {
	form := v.r.PostForm
	x, err := decisionOf(form)
	if err != nil {
		return v.showInbox(http.StatusBadRequest, err)
	}
	if len(form["pick"])+len(form["group"]) > 0 {
		return v.decideMany(x)
	}
	if x.Call, err = strconv.Atoi(form.Get("call")); err != nil {
		return fmt.Errorf("the form names no call: %w", flawless.Invalid)
	}
	id, err := url.QueryUnescape(form.Get("run"))
	if err != nil {
		return fmt.Errorf("the form names no run: %w", flawless.Invalid)
	}
	_, err = v.client.Resolve(v.ctx(), id, x)
	switch {
	case errors.Is(err, flawless.Conflict):
		return v.showInbox(http.StatusConflict, fmt.Errorf("your decision was not taken, because somebody else was faster: %w", err))
	case err != nil:
		return err
	}
	to, _ := inboxFilterOf(v.r.URL.Query())
	q := to.query()
	if next, err := url.ParseQuery(form.Get("next")); err == nil && next.Has("run") {
		q.Set("run", next.Get("run"))
		q.Set("call", next.Get("call"))
	}
	q.Set("decided", id)
	http.Redirect(v.w, v.r, v.base+"/inbox?"+q.Encode(), http.StatusSeeOther)
	return nil
}

// decideMany shows for how many calls a decision would be, and takes it once that is confirmed. Each is logged by itself.
func (v *visit) decideMany(x flawless.Decision) error {
	form := v.r.PostForm
	f, err := inboxFilterOf(v.r.URL.Query())
	if err != nil {
		return err
	}
	all, err := v.doubts(f)
	if err != nil {
		return err
	}
	var items []doubt
	runs, unseen := map[string]bool{}, 0
	for _, g := range all.Groups {
		for _, d := range g.all {
			if !slices.Contains(form["group"], g.Key) && !slices.Contains(form["pick"], d.Ref()) {
				continue
			}
			items = append(items, d)
			runs[d.Run.ID] = true
			if d.Unseen {
				unseen++
			}
		}
	}
	if len(items) == 0 {
		return v.showInbox(http.StatusConflict, errors.New("nobody needs your decision any more: somebody else has decided about all calls that you selected"))
	}
	m := many{Title: "Decide about " + count(len(items), "call"), Effect: effects[x.Resolution], Request: "resolve", Button: "Decide about " + number(len(items)),
		Note: x.Note, Back: "/inbox" + f.link(0, nil), Here: "/inbox", Action: "/inbox" + f.link(0, nil), Each: "pick", Runs: len(runs), Decision: given(x)}
	if x.Resolution == flawless.Retry {
		m.Unseen = unseen
	}
	m.Command = commandFor(x, f, items)
	for i, d := range items {
		m.Items = append(m.Items, item{N: i, ID: d.Run.ID, Call: d.Call, Ref: d.Ref(), Status: d.Run.Status, Text: bareURL(d.Request)})
	}
	m.Fields = url.Values{"resolution": {string(x.Resolution)}, "body": {string(x.Body)}, "text": {x.Text}}
	if x.Status != 0 {
		m.Fields.Set("status", strconv.Itoa(x.Status))
	}
	if form.Get("step") == "do" {
		if m.Unseen > 0 && !x.Confirm {
			return fmt.Errorf("%s: confirm that the processes of these servers have ended: %w", unseenText(m.Unseen), flawless.Invalid)
		}
		m.do(func(it item) (flawless.Run, error) {
			one := x
			one.Call = it.Call
			return v.client.Resolve(v.ctx(), it.ID, one)
		})
	}
	return v.showMany(m)
}

// effects says what each decision does to the calls that it is about.
var effects = map[flawless.Resolution]string{
	flawless.Respond: "get the answer that you have given, and their runs go on with it",
	flawless.Retry:   "are sent again, under the same idempotency keys",
	flawless.Tell:    "return the error that you have given, and their code can take back what it did before",
	flawless.Fail:    "end their runs as failed; nothing is taken back",
}

// unseenText warns of calls that may still be sent.
func unseenText(n int) string {
	return "the servers that made " + count(n, "call") + " of these were not seen to stop, so they may still send the requests"
}

// given returns a decision as the API takes it, without the call.
func given(x flawless.Decision) map[string]any {
	out := map[string]any{"resolution": x.Resolution}
	switch x.Resolution {
	case flawless.Respond:
		if len(x.Body) > 0 { // the API takes an empty member for a mistake
			out["body"] = x.Body
		}
		if x.Status != 0 {
			out["status"] = x.Status
		}
	case flawless.Tell:
		if x.Text != "" {
			out["text"] = x.Text
		}
	}
	return out
}

// commandFor returns the command that takes a decision: about a single call, or about those of the filter.
func commandFor(x flawless.Decision, f inboxFilter, items []doubt) string {
	args := []string{"flawless", "workflow", "resolve"}
	add := func(name, value string) {
		if value != "" {
			args = append(args, name, value)
		}
	}
	if len(items) == 1 {
		args = append(args, items[0].Run.ID, "--call", strconv.Itoa(items[0].Call))
	} else {
		host := items[0].Request
		if slices.ContainsFunc(items, func(d doubt) bool { return hostOf(d.Request) != hostOf(host) }) {
			host = ""
		}
		if host != "" {
			add("--host", hostOf(host))
		}
		add("--reason", f.Reason)
		add("--module", f.Module)
		add("--after", stamp(f.After))
		add("--before", stamp(f.Before))
	}
	switch x.Resolution {
	case flawless.Respond:
		add("--response", "answer.json")
		if x.Status != 0 {
			add("--status", strconv.Itoa(x.Status))
		}
	case flawless.Retry:
		args = append(args, "--retry")
	case flawless.Tell:
		add("--error", cmp.Or(x.Text, "TEXT"))
	case flawless.Fail:
		args = append(args, "--fail")
	}
	add("--note", x.Note)
	return form.Shell(args...)
}
