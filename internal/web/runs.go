package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

// columns are those that can be chosen; the first ones are shown unless others are asked for.
var columns = []struct {
	Name, Title string
	Usual       bool
}{{"why", "What it waits for, or how it ended", true}, {"workflow", "Workflow", true}, {"labels", "Labels", false}, {"parent", "Parent", false},
	{"calls", "Calls", true}, {"turns", "Turns", false}, {"created", "Created", true}, {"took", "Took", true}}

// tab is a view of the runs that everybody needs.
type tab struct {
	Title, Query string
	On           bool
}

// runs lists the runs that match the filter in the URL.
func (c *console) runs(v *visit) error {
	q := v.r.URL.Query()
	f, err := filterOf(q)
	if err != nil {
		return err
	}
	if id := strings.TrimSpace(q.Get("id")); id != "" {
		http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(id), http.StatusSeeOther)
		return nil
	}
	runs, next, err := v.client.Runs(v.ctx(), f)
	if err != nil {
		return err
	}
	shown := map[string]bool{}
	for _, col := range columns {
		shown[col.Name] = col.Usual && len(q["col"]) == 0 || slices.Contains(q["col"], col.Name)
	}
	without := func(names ...string) url.Values {
		out := url.Values{}
		for name, values := range q {
			if !slices.Contains(names, name) {
				out[name] = values
			}
		}
		return out
	}
	d := map[string]any{"Runs": runs, "Columns": columns, "Shown": shown, "Query": q, "Filter": f, "Status": q["status"], "Raw": v.r.URL.RawQuery,
		"First": q.Get("cursor") == "", "FirstURL": "?" + without("cursor").Encode()}
	if next != "" {
		n := without("cursor")
		n.Set("cursor", next)
		d["NextURL"] = "?" + n.Encode()
	}
	open := []string{}
	for _, s := range flawless.OpenStatuses {
		open = append(open, string(s))
	}
	var tabs []tab
	for _, t := range []tab{{"All", "", false}, {"Open", "status=" + strings.Join(open, "&status="), false}, {"Needs a decision", "status=unresolved", false},
		{"Failed", "status=failed", false}, {"Retrying", "retrying=true", false}} {
		want, _ := url.ParseQuery(t.Query)
		t.On = without("cursor", "col").Encode() == want.Encode()
		tabs = append(tabs, t)
	}
	d["Tabs"] = tabs
	var states []map[string]any
	for _, s := range flawless.Statuses {
		states = append(states, map[string]any{"Status": s, "On": slices.Contains(f.Status, s)})
	}
	d["States"] = states
	v.show(http.StatusOK, "runs.html", &view{Title: "Runs", Here: "/runs", Data: d})
	return nil
}

// filterOf reads the filter of a URL. Its parameters are those of the API.
func filterOf(q url.Values) (f flawless.Filter, err error) {
	f = flawless.Filter{Module: q.Get("module"), Workflow: q.Get("workflow"), Parent: q.Get("parent"), Retrying: q.Get("retrying") == "true", Cursor: q.Get("cursor"), Limit: 50}
	for _, s := range q["status"] {
		for one := range strings.SplitSeq(s, ",") {
			if one == "" {
				continue
			}
			if !slices.Contains(flawless.Statuses, flawless.Status(one)) {
				return f, fmt.Errorf("there is no status %.50q: %w", one, flawless.Invalid)
			}
			f.Status = append(f.Status, flawless.Status(one))
		}
	}
	for name, to := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		if *to, err = parseTime(text); err != nil {
			return f, fmt.Errorf("%s is %.50q; use a time such as 2026-01-31T15:04 (UTC): %w", name, text, flawless.Invalid)
		}
	}
	for _, text := range q["label"] {
		if text == "" {
			continue
		}
		name, value, err := flawless.ParseLabel(text)
		if err != nil {
			return f, err
		}
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		f.Labels[name] = value
	}
	if text := q.Get("limit"); text != "" {
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > 200 {
			return f, fmt.Errorf("limit is %.50q; use a number up to 200: %w", text, flawless.Invalid)
		}
	}
	return f, nil
}

func parseTime(text string) (t time.Time, err error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err = time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, nil
		}
	}
	return t, err
}

// verb is what can be done to runs.
type verb struct {
	Name, Title, Effect string
	fits                func(flawless.Run) bool
	do                  func(v *visit, id, note string) (flawless.Run, error)
}

// verbs has all of them. The order is that of the buttons.
var verbs = []verb{
	{"cancel", "Cancel", "are asked to give up; their code may take back what it did", func(r flawless.Run) bool { return !r.Status.Ended() && !r.CancelRequested },
		func(v *visit, id, note string) (flawless.Run, error) {
			return v.client.Cancel(v.ctx(), id, flawless.Cancel{Who: who, Note: note})
		}},
	{"pause", "Pause", "take no more turns; answers are kept for them", func(r flawless.Run) bool { return !r.Status.Ended() && r.Status != flawless.Paused },
		func(v *visit, id, note string) (flawless.Run, error) {
			return v.client.Pause(v.ctx(), id, flawless.Pause{Who: who, Note: note})
		}},
	{"resume", "Resume", "go on where they stopped", func(r flawless.Run) bool { return !r.Status.Ended() && r.Pause != nil },
		func(v *visit, id, note string) (flawless.Run, error) {
			return v.client.Pause(v.ctx(), id, flawless.Pause{Resume: true, Who: who, Note: note})
		}},
	{"restart", "Restart", "start anew with the same input, as new runs", func(r flawless.Run) bool { return r.Status.Ended() && r.Status != flawless.Completed },
		func(v *visit, id, _ string) (flawless.Run, error) {
			return v.client.Restart(v.ctx(), id, client.Restart{})
		}},
	{"terminate", "Terminate", "end at once; nothing is taken back", func(r flawless.Run) bool { return !r.Status.Ended() },
		func(v *visit, id, note string) (flawless.Run, error) {
			return v.client.Terminate(v.ctx(), id, flawless.Cancel{Who: who, Note: note})
		}},
}

// who is the name in logs of what people do here, until the API knows people.
const who = "console"

// can returns what can be done to a run.
func can(r flawless.Run) (out []verb) {
	for _, x := range verbs {
		if x.fits(r) {
			out = append(out, x)
		}
	}
	return out
}

// maxBulk is how many runs one form changes.
const maxBulk = 200

// outcome is what became of one run of many.
type outcome struct {
	Run         flawless.Run
	ID, Problem string
}

// bulk changes many runs: first it shows what would happen, then it does it.
func (c *console) bulk(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return fmt.Errorf("reading the form: %v: %w", err, flawless.Invalid)
	}
	i := slices.IndexFunc(verbs, func(x verb) bool { return x.Name == v.r.PostForm.Get("verb") })
	ids := slices.Compact(v.r.PostForm["run"])
	if i < 0 || len(ids) == 0 || len(ids) > maxBulk {
		return fmt.Errorf("select 1 to %d runs, and what to do with them: %w", maxBulk, flawless.Invalid)
	}
	x, note := verbs[i], v.r.PostForm.Get("note")
	d := map[string]any{"Verb": x, "Note": note, "Back": target(v.r.PostForm.Get("back"))}
	var fit []flawless.Run
	var left, done []outcome
	by := map[string]int{}
	for _, id := range ids {
		r, err := v.client.Run(v.ctx(), id, false)
		switch {
		case err != nil:
			left = append(left, outcome{ID: id, Problem: sentence(err.Error())})
		case !x.fits(r):
			left = append(left, outcome{ID: id, Run: r, Problem: "It is " + strings.ToLower(words[r.Status]) + ", so this does not apply to it."})
		default:
			fit = append(fit, r)
			by[string(r.Status)]++
		}
	}
	d["Fit"], d["Left"], d["By"] = fit, left, by
	if v.r.PostForm.Get("step") == "do" {
		for _, r := range fit {
			after, err := x.do(v, r.ID, note)
			o := outcome{ID: r.ID, Run: after}
			if err != nil {
				o.Problem = sentence(err.Error())
			}
			done = append(done, o)
		}
		d["Done"] = done
	}
	v.show(http.StatusOK, "bulk.html", &view{Title: x.Title + " runs", Here: "/runs", Data: d})
	return nil
}
