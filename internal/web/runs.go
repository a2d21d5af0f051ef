package web

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// listRoutes adds the pages with lists, and what is done there.
func (c *console) listRoutes() {
	c.pages.HandleFunc("GET /{$}", c.page(c.overview))
	c.pages.HandleFunc("GET /runs", c.page(c.runs))
	c.pages.HandleFunc("POST /runs", c.page(c.bulk))
	c.pages.HandleFunc("POST /views", c.page(c.changeView))
	c.pages.HandleFunc("GET /inbox", c.page(c.inbox))
	c.pages.HandleFunc("POST /inbox", c.page(c.decide))
}

// column is one that can be chosen. The usual ones are shown unless others are asked for.
type column struct {
	Name, Title  string
	Usual, Right bool
}

var columns = []column{{"why", "What it waits for, or how it ended", true, false}, {"workflow", "Workflow", true, false}, {"labels", "Labels", false, false},
	{"parent", "Parent", false, false}, {"mail", "Messages", false, true}, {"calls", "Calls", true, true}, {"turns", "Turns", false, true},
	{"cost", "Cost", false, true}, {"created", "Created", true, true}, {"ended", "Ended", false, true}, {"took", "Took", true, true}}

// tab is a question about runs that everybody has, or that somebody has saved.
type tab struct {
	Title, Query string
	URL          string // with the columns of this page
	On           bool
	Count        string // "" if it is not known
	Person       bool   // it is about what needs a person
	Saved        bool
}

// segment is a status that can be added to the filter or removed from it.
type segment struct {
	Status flawless.Status
	On     bool
	Count  string
	URL    string
}

// runs lists the runs that match the filter in the URL.
func (c *console) runs(v *visit) error {
	q := v.r.URL.Query()
	if id := strings.TrimSpace(q.Get("id")); id != "" {
		http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(id), http.StatusSeeOther)
		return nil
	}
	if v.tidy(q) {
		return nil
	}
	f, err := filterOf(q, v.now())
	if err != nil {
		return err
	}
	runs, next, err := v.search(f)
	if err != nil {
		return err
	}
	stats, err := v.stats()
	if err != nil {
		return err
	}
	shown := map[string]bool{}
	for _, col := range columns {
		shown[col.Name] = col.Usual && len(q["col"]) == 0 || slices.Contains(q["col"], col.Name)
	}
	by := byStatus(stats, f.Module)
	known := isCounted(f)
	d := map[string]any{"Runs": runs, "Columns": columns, "Shown": shown, "Query": q, "Filter": f, "Raw": v.r.URL.RawQuery, "Now": v.now(),
		"First": q.Get("cursor") == "", "FirstURL": "?" + without(q, "cursor").Encode(), "Command": commandOf("list", f), "Within": q.Get("within"),
		"Cols": q["col"], "Labels": append(slices.Clone(q["label"]), "")}
	switch {
	case known:
		d["Count"], d["Of"] = number(sum(by, f.Status)), number(sum(byStatus(stats, ""), nil))
	case next == "" && q.Get("cursor") == "":
		d["Count"], d["Of"] = number(len(runs)), number(sum(byStatus(stats, ""), nil))
	}
	d["Partial"] = next != "" && len(runs) < f.Limit
	if next != "" {
		n := without(q, "cursor")
		n.Set("cursor", next)
		d["NextURL"] = "?" + n.Encode()
	}
	d["More"] = next != "" || q.Get("cursor") != ""
	if d["Tabs"], err = v.tabs(q, stats); err != nil {
		return err
	}
	var segments []segment
	for _, s := range flawless.Statuses {
		x := segment{Status: s, On: slices.Contains(f.Status, s)}
		if only := f; true {
			if only.Status = nil; isCounted(only) {
				x.Count = number(by[s])
			}
		}
		to := without(q, "cursor", "status")
		for _, have := range flawless.Statuses {
			if slices.Contains(f.Status, have) != (have == s) {
				to.Add("status", string(have))
			}
		}
		x.URL = "?" + to.Encode()
		segments = append(segments, x)
	}
	d["Segments"] = segments
	v.show(http.StatusOK, "runs.html", &view{Title: "Runs", Here: "/runs", Data: d})
	return nil
}

// search returns a page of runs. The API stops searching early in order to answer quickly; people would rather wait a moment
// than ask again.
func (v *visit) search(f flawless.Filter) (runs []flawless.Run, next string, err error) {
	limit := f.Limit
	for begun := time.Now(); ; {
		page, more, err := v.client.Runs(v.ctx(), f)
		if err != nil {
			return nil, "", err
		}
		runs, next = append(runs, page...), more
		if next == "" || len(runs) >= limit || time.Since(begun) > patience {
			return runs, next, nil
		}
		f.Cursor, f.Limit = next, limit-len(runs)
	}
}

// patience is how long a page searches for runs.
const patience = time.Second

// without returns a query without some parameters.
func without(q url.Values, names ...string) url.Values {
	out := maps.Clone(q)
	for _, name := range names {
		out.Del(name)
	}
	return out
}

// tidy leads to the same page without parameters that say nothing, as forms have them, and reports whether there were any.
func (v *visit) tidy(q url.Values) bool {
	empty := false
	for name, values := range q {
		kept := slices.DeleteFunc(slices.Clone(values), func(text string) bool { return strings.TrimSpace(text) == "" })
		if len(kept) == len(values) {
			continue
		}
		empty = true
		if q[name] = kept; len(kept) == 0 {
			delete(q, name)
		}
	}
	if !empty || v.r.Method != http.MethodGet {
		return false
	}
	to := v.base + v.r.URL.Path
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	http.Redirect(v.w, v.r, to, http.StatusFound)
	return true
}

// isCounted reports whether the statistics know how many runs match a filter.
func isCounted(f flawless.Filter) bool {
	return f.Workflow == "" && f.Since.IsZero() && f.Until.IsZero() && len(f.Labels) == 0 && f.Parent == "" && !f.Retrying && f.Prefix == "" && f.Text == ""
}

// tabs returns the questions about runs: those that everybody has, and those that are saved on the server.
func (v *visit) tabs(q url.Values, stats flawless.Stats) ([]tab, error) {
	open := url.Values{}
	for _, s := range flawless.OpenStatuses {
		open.Add("status", string(s))
	}
	all := []tab{{Title: "All"}, {Title: "Open", Query: open.Encode()}, {Title: "Needs a decision", Query: "status=unresolved", Person: true},
		{Title: "Failed", Query: "status=failed"}, {Title: "Retrying", Query: "retrying=true"}}
	saved, err := v.client.Views(v.ctx())
	if err != nil {
		return nil, err
	}
	for _, s := range saved {
		if s.Page == "runs" {
			all = append(all, tab{Title: s.Name, Query: s.Query, Saved: true})
		}
	}
	here := without(q, "cursor", "col").Encode()
	for i := range all {
		t := &all[i]
		want, err := url.ParseQuery(t.Query)
		if err != nil {
			continue // saved by a program
		}
		t.On = without(want, "col").Encode() == here
		f, err := filterOf(want, v.now())
		if err == nil && isCounted(f) {
			t.Count = number(sum(byStatus(stats, f.Module), f.Status))
		}
		if !want.Has("col") && len(q["col"]) > 0 {
			want["col"] = q["col"]
		}
		if t.URL = "?" + want.Encode(); len(want) == 0 {
			t.URL = ""
		}
	}
	return all, nil
}

// changeView saves the question of a page under a name for all who use the server, or removes it.
func (c *console) changeView(v *visit) error {
	form := v.r.PostForm
	name, query := strings.TrimSpace(form.Get("name")), form.Get("query")
	var err error
	if form.Get("do") == "remove" {
		err = v.client.RemoveView(v.ctx(), name)
	} else {
		q, bad := url.ParseQuery(query)
		if bad != nil {
			return fmt.Errorf("the filter %.100q is not a query: %w", query, flawless.Invalid)
		}
		_, err = v.client.SetView(v.ctx(), flawless.View{Name: name, Page: "runs", Query: without(q, "cursor").Encode()})
	}
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, v.base+"/runs?"+query, http.StatusSeeOther)
	return nil
}

// spans are how long ago a run was created at most, as the filter offers it.
var spans = []string{"15m", "1h", "24h", "7d", "30d"}

// filterOf reads the filter of a URL. Its parameters are those of the API, and within, which is a time before now.
func filterOf(q url.Values, now time.Time) (f flawless.Filter, err error) {
	f = flawless.Filter{Module: q.Get("module"), Workflow: q.Get("workflow"), Parent: q.Get("parent"), Retrying: q.Get("retrying") == "true",
		Prefix: strings.TrimSpace(q.Get("prefix")), Text: strings.TrimSpace(q.Get("text")), Cursor: q.Get("cursor"), Limit: 50}
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
	if text := q.Get("within"); text != "" {
		d, err := parseSpan(text)
		if err != nil {
			return f, fmt.Errorf("within is %.50q; use a time such as 24h or 7d: %w", text, flawless.Invalid)
		}
		f.Since = now.Add(-d)
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
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err = time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, nil
		}
	}
	return t, err
}

// parseSpan reads a duration such as 90m or 7d.
func parseSpan(text string) (time.Duration, error) {
	if days, found := strings.CutSuffix(text, "d"); found {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 36500 {
			return 0, flawless.Invalid
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, flawless.Invalid
	}
	return d, nil
}
