package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
)

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

// retryNow is for runs with failed calls. It is about calls, so it is not among the verbs of a run.
var retryNow = verb{"retry", "Retry now", "are tried again at once", func(r flawless.Run) bool { return len(r.Retrying) > 0 }, nil}

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

// Limits of changes of many.
const (
	maxBulk    = 500    // without JavaScript, and of runs that were selected one by one
	maxMatch   = 10_000 // of all that match a filter
	maxPreview = 100    // that the preview lists
)

// item is one of many: a run, or a call of one.
type item struct {
	N      int             `json:"n"`
	ID     string          `json:"id"`
	Call   int             `json:"call,omitempty"`
	Ref    string          `json:"-"` // as the form names it
	Status flawless.Status `json:"-"`
	Text   string          `json:"-"`
}

// many is a change of many runs or calls: first a preview, then what became of each.
type many struct {
	Title, Effect, Button string
	Request               string // what the script asks the API to do
	Note, Back, Here      string
	Action                string // where the form goes
	Each                  string // name of the field that names one of them; "" if the filter does
	Command               string
	Runs                  int // of the calls
	Items                 []item
	By                    map[flawless.Status]int
	Left                  []outcome // those that it does not apply to
	LeftN                 int
	More                  bool // there are more than can be changed at once
	Fields                url.Values
	Decision              map[string]any
	Unseen                int
	Done                  []outcome
}

// outcome is what became of one of many.
type outcome struct {
	Run         flawless.Run
	ID, Problem string
	Call        int
}

// do changes them one after another, as far as that is possible in one request.
func (m *many) do(change func(item) (flawless.Run, error)) {
	for _, it := range m.Items[:min(len(m.Items), maxBulk)] {
		o := outcome{ID: it.ID, Call: it.Call}
		var err error
		if o.Run, err = change(it); err != nil {
			o.Problem = sentence(err.Error())
		}
		m.Done = append(m.Done, o)
	}
}

func (v *visit) showMany(m many) error {
	m.By = map[flawless.Status]int{}
	for _, it := range m.Items {
		m.By[it.Status]++
	}
	posted := m.Items[:min(len(m.Items), maxBulk)]
	if name := m.Each; name != "" {
		for _, it := range posted {
			m.Fields.Add(name, it.Ref)
		}
	}
	items, err := asciiJSON(m.Items)
	if err != nil {
		return err
	}
	decision, err := asciiJSON(m.Decision)
	if err != nil {
		return err
	}
	v.show(http.StatusOK, "many.html", &view{Title: m.Title, Here: m.Here, Data: map[string]any{"Many": m, "ItemsJSON": items, "DecisionJSON": decision,
		"Shown": m.Items[:min(len(m.Items), maxPreview)], "NotShown": max(0, len(m.Items)-maxPreview), "Posted": len(posted)}})
	return nil
}

// asciiJSON returns JSON in ASCII for a script. So the characters that pages show by their numbers stay what they are.
func asciiJSON(x any) (template.JS, error) {
	b, err := json.Marshal(x)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range string(b) {
		if r < 0x80 {
			out.WriteRune(r)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, u)
		}
	}
	return template.JS(out.String()), nil // json.Marshal escapes <, > and &
}

// bulk changes many runs: those that were selected, or all that match a filter.
func (c *console) bulk(v *visit) error {
	form := v.r.PostForm
	i := slices.IndexFunc(bulkVerbs(), func(x verb) bool { return x.Name == form.Get("verb") })
	if i < 0 {
		return fmt.Errorf("choose what to do with the runs: %w", flawless.Invalid)
	}
	x := bulkVerbs()[i]
	m := many{Effect: x.Effect, Request: x.Name, Note: form.Get("note"), Back: target(form.Get("back")), Here: "/runs", Action: "/runs", Fields: url.Values{"verb": {x.Name}, "back": {form.Get("back")}}}
	var err error
	if form.Get("match") != "" {
		err = v.matching(&m, x, form.Get("query"))
	} else {
		err = v.selected(&m, x, form["run"])
	}
	if err != nil {
		return err
	}
	what := "run"
	if x.Name == retryNow.Name {
		what = "call"
	}
	m.Title, m.Button = x.Title+" "+count(len(m.Items), what), x.Title+" "+number(len(m.Items))
	if form.Get("step") == "do" {
		within, err := withinOf(form)
		if err != nil {
			return err
		}
		m.do(func(it item) (flawless.Run, error) {
			switch {
			case it.Call != 0:
				return v.client.Urge(v.ctx(), it.ID, client.Urge{Call: it.Call, Who: who, Note: m.Note})
			case x.Name == "cancel" && within > 0:
				return v.client.Cancel(v.ctx(), it.ID, flawless.Cancel{Who: who, Note: m.Note, Deadline: v.now().Add(within).UnixNano()})
			case x.Name == "restart":
				return v.client.Restart(v.ctx(), it.ID, client.Restart{Version: strings.TrimSpace(form.Get("version"))})
			}
			return x.do(v, it.ID, m.Note)
		})
	}
	return v.showMany(m)
}

// withinOf reads after what time runs that are cancelled are terminated; 0 means never.
func withinOf(form url.Values) (time.Duration, error) {
	text := strings.TrimSpace(form.Get("within"))
	if text == "" {
		return 0, nil
	}
	d, err := parseSpan(text)
	if err != nil {
		return 0, fmt.Errorf("the time is %.50q; use one such as 5m or 2h: %w", text, flawless.Invalid)
	}
	return d, nil
}

func bulkVerbs() []verb { return append(slices.Clone(verbs), retryNow) }

// add adds what a verb does to a run.
func (m *many) add(x verb, r flawless.Run) {
	it := item{N: len(m.Items), ID: r.ID, Ref: url.QueryEscape(r.ID), Status: r.Status}
	if x.Name != retryNow.Name {
		m.Items = append(m.Items, it)
		return
	}
	for _, c := range r.Retrying {
		it.N, it.Call, it.Text = len(m.Items), c.Call, bareURL(c.Request)
		m.Items = append(m.Items, it)
	}
}

// selected adds runs by their ids.
func (v *visit) selected(m *many, x verb, refs []string) error {
	m.Each = "run"
	refs = slices.Compact(refs)
	if len(refs) == 0 || len(refs) > maxBulk {
		return fmt.Errorf("select 1 to %d runs, or all that match: %w", maxBulk, flawless.Invalid)
	}
	for _, ref := range refs {
		id, err := url.QueryUnescape(ref)
		if err != nil {
			return fmt.Errorf("the form names no run: %w", flawless.Invalid)
		}
		r, err := v.client.Run(v.ctx(), id, false)
		switch {
		case err != nil:
			m.Left = append(m.Left, outcome{ID: id, Problem: sentence(err.Error())})
		case !x.fits(r):
			m.Left = append(m.Left, outcome{ID: id, Run: r, Problem: "It is " + strings.ToLower(words[r.Status]) + ", so this does not apply to it."})
		default:
			m.add(x, r)
		}
	}
	m.LeftN = len(m.Left)
	if len(m.Items) == 1 {
		m.Command = form.Shell("flawless", "workflow", x.Name, m.Items[0].ID)
	}
	return nil
}

// matching adds all runs that match a filter and exist already: those that start later were not in what people have seen.
func (v *visit) matching(m *many, x verb, query string) error {
	q, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("the filter %.100q is not a query: %w", query, flawless.Invalid)
	}
	f, err := filterOf(q, v.now())
	if err != nil {
		return err
	}
	if now := v.now(); f.Until.IsZero() || f.Until.After(now) {
		f.Until = now
	}
	f.Cursor, f.Limit = "", 1000
	for r, err := range v.client.All(v.ctx(), f) {
		if err != nil {
			return err
		}
		switch {
		case !x.fits(r):
			m.LeftN++
		case len(m.Items) >= maxMatch:
			m.More = true
		default:
			m.add(x, r)
		}
		if m.More {
			break
		}
	}
	q.Del("within")
	q.Set("until", f.Until.UTC().Format(time.RFC3339Nano))
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	m.Fields.Set("match", "1")
	m.Fields.Set("query", q.Encode())
	if x.Name != retryNow.Name {
		m.Command = commandOf(x.Name, f)
	}
	return nil
}

// commandOf returns the command for the runs that match a filter.
func commandOf(verb string, f flawless.Filter) string {
	args := []string{"flawless", "workflow", verb}
	add := func(name, value string) {
		if value != "" {
			args = append(args, name, value)
		}
	}
	for _, s := range f.Status {
		add("--status", string(s))
	}
	add("--module", f.Module)
	add("--workflow", f.Workflow)
	add("--after", stamp(f.Since))
	add("--before", stamp(f.Until))
	for _, name := range sortedKeys(f.Labels) {
		add("--label", name+"="+f.Labels[name])
	}
	add("--parent", f.Parent)
	if f.Retrying {
		args = append(args, "--retrying")
	}
	add("--prefix", f.Prefix)
	add("--text", f.Text)
	return form.Shell(args...)
}

// count returns a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(strconv.Itoa(n)) + " " + noun + "s"
}
