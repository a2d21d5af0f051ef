package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func scheduleRoutes() []Route {
	return []Route{
		{"GET /schedules", schedules},
		{"GET /new/schedule", newSchedule},
		{"POST /new/schedule", newSchedule},
		{"GET /schedules/{name}", func(v *Visit) error { return v.showSchedule(http.StatusOK, &schedulePage{}) }},
		{"POST /schedules/{name}", changeSchedule},
	}
}

// schedules lists the schedules, those that start next first.
func schedules(v *Visit) error {
	all, err := v.Client.Schedules(v.ctx())
	if err != nil {
		return err
	}
	next := func(s flawless.Schedule) int64 {
		if s.Next == nil {
			return 1 << 62
		}
		return s.Next.Unix()
	}
	slices.SortStableFunc(all, func(a, b flawless.Schedule) int { return cmp.Compare(next(a), next(b)) })
	v.Show(http.StatusOK, "schedules.html", Page{Title: "Schedules", Here: "/schedules", Data: map[string]any{"Schedules": all}})
	return nil
}

// schedulePage is a schedule, and the form that changes it or adds one.
type schedulePage struct {
	Schedule  flawless.Schedule
	New       bool
	Filled    url.Values
	Problems  map[string]string
	Problem   string
	Workflows []string // module/workflow, to choose from
	Schema    string   // of the input of the chosen workflow
	Times     []time.Time
	Preview   bool // Times are those of what was filled in
	Zone      *time.Location
	Runs      []flawless.Run
	More      bool
	Key       string // of a run that is triggered: the same for all answers to one form
	Filling   *client.Backfill
	Commands  []string
}

// Get returns what was filled in.
func (p *schedulePage) Get(name string) string { return p.Filled.Get(name) }

// Wrong returns what is wrong with it.
func (p *schedulePage) Wrong(name string) string { return p.Problems[name] }

// Overlaps returns what can be done when the previous run is still open.
func (p *schedulePage) Overlaps() []flawless.Overlap { return flawless.Overlaps }

// Local returns a time in the time zone of the schedule.
func (p *schedulePage) Local(t time.Time) string {
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	return t.In(p.Zone).Format("Mon 2006-01-02 15:04:05 MST")
}

// OverlapWords says what it does.
func (p *schedulePage) OverlapWords(o flawless.Overlap) string {
	return map[flawless.Overlap]string{flawless.Skip: "skip: leave this time out", flawless.Queue: "queue: start when the previous run has ended",
		flawless.Allow: "allow: start at the same time", flawless.Replace: "cancel: cancel the previous run, and start when it has ended"}[o]
}

// prepare completes the page with what the server knows.
func (p *schedulePage) prepare(v *Visit) error {
	modules, err := v.Client.Modules(v.ctx())
	if err != nil {
		return err
	}
	chosen := p.Filled.Get("workflow")
	for _, m := range modules {
		for _, w := range m.Manifest.Workflows {
			name := m.Name + "/" + w.Name
			if p.Workflows = append(p.Workflows, name); name == chosen && len(w.Input) > 0 {
				p.Schema = word.Pretty(w.Input)
			}
		}
	}
	if chosen != "" && !slices.Contains(p.Workflows, chosen) {
		p.Workflows = append(p.Workflows, chosen)
	}
	if p.Zone, err = time.LoadLocation(cmp.Or(p.Filled.Get("zone"), p.Schedule.Zone)); err != nil {
		p.Zone = time.UTC
	}
	return nil
}

// filledSchedule returns the form for a schedule.
func filledSchedule(s flawless.Schedule) url.Values {
	out := url.Values{"cron": {s.Cron}, "zone": {s.Zone}, "workflow": {s.Module + "/" + s.Workflow}, "input": {string(s.Input)}, "overlap": {string(s.Overlap)},
		"version": {s.Version}, "note": {s.Note}}
	set := func(name string, ms int64) {
		if ms != 0 {
			out.Set(name, form.Span(time.Duration(ms)*time.Millisecond))
		}
	}
	set("jitter", s.JitterMS)
	set("catchup", s.CatchUpMS)
	set("deadline", s.DeadlineMS)
	set("grace", s.GraceMS)
	if s.CatchUpLimit != 0 {
		out.Set("catchuplimit", strconv.Itoa(s.CatchUpLimit))
	}
	if q := s.Queue; q != nil {
		out.Set("key", q.Key)
		if q.Limit != 0 {
			out.Set("concurrency", strconv.Itoa(q.Limit))
		}
		if q.Priority != 0 {
			out.Set("priority", strconv.Itoa(q.Priority))
		}
	}
	var labels []string
	for _, l := range word.SortedLabels(s.Labels) {
		labels = append(labels, l.Name+"="+l.Value)
	}
	out.Set("labels", strings.Join(labels, "\n"))
	return out
}

// read returns the schedule that was filled in.
func (p *schedulePage) read() (s flawless.Schedule, ok bool) {
	p.Problems, ok = map[string]string{}, true
	get := func(name string) string { return strings.TrimSpace(p.Filled.Get(name)) }
	wrong := func(name string, err error) { p.Problems[name], ok = err.Error(), false }
	s = flawless.Schedule{Name: get("name"), Cron: get("cron"), Zone: get("zone"), Overlap: flawless.Overlap(get("overlap")), Version: get("version"), Note: get("note"),
		Paused: p.Schedule.Paused || get("paused") == "true"}
	if !p.New {
		s.Name = p.Schedule.Name
	}
	var found bool
	if s.Module, s.Workflow, found = strings.Cut(get("workflow"), "/"); !found {
		wrong("workflow", errors.New("choose a workflow"))
	}
	if text := get("input"); text != "" {
		if s.Input = json.RawMessage(text); !json.Valid(s.Input) {
			wrong("input", errors.New("is not JSON"))
		}
	}
	for name, to := range map[string]*int64{"jitter": &s.JitterMS, "catchup": &s.CatchUpMS, "deadline": &s.DeadlineMS, "grace": &s.GraceMS} {
		if text := get(name); text != "" {
			d, err := form.ParseSpan(text)
			if err != nil {
				wrong(name, err)
			}
			*to = d.Milliseconds()
		}
	}
	q := &flawless.QueueOptions{Key: get("key")}
	for name, to := range map[string]*int{"catchuplimit": &s.CatchUpLimit, "concurrency": &q.Limit, "priority": &q.Priority} {
		if text := get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				wrong(name, fmt.Errorf("%.50q is not a number", text))
			}
			*to = n
		}
	}
	if s.Queue = q; *q == (flawless.QueueOptions{}) {
		s.Queue = nil
	}
	labels, err := readLabels(get("labels"))
	if err != nil {
		wrong("labels", err)
	}
	s.Labels = labels
	return s, ok
}

// command returns the command that adds or replaces a schedule.
func (p *schedulePage) command(s flawless.Schedule) string {
	words := []string{"flawless", "schedule", "add", s.Name, s.Module, s.Workflow, "--cron", s.Cron}
	for _, f := range []struct{ flag, name string }{{"--zone", "zone"}, {"--input", "input"}, {"--overlap", "overlap"}, {"--jitter", "jitter"}, {"--catch-up", "catchup"},
		{"--catch-up-limit", "catchuplimit"}, {"--version", "version"}, {"--deadline", "deadline"}, {"--grace", "grace"}, {"--concurrency-key", "key"},
		{"--concurrency", "concurrency"}, {"--priority", "priority"}} {
		if text := strings.TrimSpace(p.Filled.Get(f.name)); text != "" {
			words = append(words, f.flag, text)
		}
	}
	for _, l := range word.SortedLabels(s.Labels) {
		words = append(words, "--label", l.Name+"="+l.Value)
	}
	if p.Get("paused") == "true" {
		words = append(words, "--paused")
	}
	if !p.New {
		words = append(words, "--replace")
	}
	return form.Shell(words...)
}

// preview shows the next times of what was filled in.
func (p *schedulePage) preview(v *Visit) error {
	times, err := v.Client.ScheduleTimes(v.ctx(), strings.TrimSpace(p.Get("cron")), strings.TrimSpace(p.Get("zone")), 10)
	if err != nil {
		p.Problems = map[string]string{"cron": word.Sentence(err.Error())}
		return err
	}
	p.Times, p.Preview = times, true
	if s, ok := p.read(); ok {
		p.Commands = []string{p.command(s)}
	} else {
		p.Problems = nil // nobody has asked for it yet
	}
	return nil
}

// newSchedule shows the form for a new schedule, its next times, or adds it.
func newSchedule(v *Visit) error {
	p := &schedulePage{New: true, Filled: v.R.PostForm}
	if v.R.Method == http.MethodGet {
		p.Filled = url.Values{"workflow": {v.R.URL.Query().Get("workflow")}}
	}
	status := http.StatusOK
	switch p.Get("do") {
	case "preview":
		if err := p.preview(v); err != nil {
			return v.again(err, func(status int) error { return v.showNewSchedule(status, p) })
		}
	case "save":
		s, ok := p.read()
		if ok {
			_, err := v.Client.SetSchedule(v.ctx(), s, false)
			if err == nil {
				http.Redirect(v.W, v.R, v.Base+"/schedules/"+url.PathEscape(s.Name), http.StatusSeeOther)
				return nil
			}
			p.Problem = word.Sentence(err.Error())
			return v.again(err, func(status int) error { return v.showNewSchedule(status, p) })
		}
		status = http.StatusBadRequest
	}
	return v.showNewSchedule(status, p)
}

func (v *Visit) showNewSchedule(status int, p *schedulePage) error {
	if err := p.prepare(v); err != nil {
		return err
	}
	v.Show(status, "newschedule.html", Page{Title: "New schedule", Here: "/schedules", Data: p})
	return nil
}

// showSchedule shows a schedule, its next times and its runs.
func (v *Visit) showSchedule(status int, p *schedulePage) (err error) {
	name := v.R.PathValue("name")
	if p.Schedule, err = v.Client.Schedule(v.ctx(), name); err != nil {
		return err
	}
	if p.Filled == nil {
		p.Filled = filledSchedule(p.Schedule)
	}
	if !p.Preview {
		p.Times, err = v.Client.ScheduleTimes(v.ctx(), p.Schedule.Cron, p.Schedule.Zone, 10)
		if err != nil {
			p.Problem = cmp.Or(p.Problem, word.Sentence(err.Error()))
		}
	}
	runs, next, err := v.Client.Runs(v.ctx(), flawless.Filter{Labels: map[string]string{"schedule": name}, Limit: 20})
	if err != nil {
		return err
	}
	p.Runs, p.More = runs, next != ""
	p.Key = cmp.Or(p.Key, flawless.NewRunID(v.Now()))
	if err := p.prepare(v); err != nil {
		return err
	}
	if p.Commands == nil {
		p.Commands = []string{form.Shell("flawless", "schedule", "show", name), form.Shell("flawless", "schedule", "trigger", name), form.Shell("flawless", "schedule", "times", name)}
	}
	v.Show(status, "schedule.html", Page{Title: name, Here: "/schedules", Data: p})
	return nil
}

// changeSchedule does something to a schedule.
func changeSchedule(v *Visit) (err error) {
	name, f := v.R.PathValue("name"), v.R.PostFormValue
	p := &schedulePage{}
	to := v.Base + "/schedules/" + url.PathEscape(name)
	switch f("do") {
	case "pause":
		_, err = v.Client.PauseSchedule(v.ctx(), name, f("why"))
	case "resume":
		_, err = v.Client.ResumeSchedule(v.ctx(), name)
	case "trigger":
		var r flawless.Run
		if r, _, err = v.Client.TriggerSchedule(v.ctx(), name, f("once")); err == nil {
			to = v.Base + "/runs/" + url.PathEscape(r.ID)
		}
	case "remove":
		if err = v.Client.RemoveSchedule(v.ctx(), name); err == nil {
			to = v.Base + "/schedules"
		}
	case "backfill":
		var from, until time.Time
		if from, err = word.ParseTime(f("from")); err == nil {
			until, err = word.ParseTime(f("to"))
		}
		if err != nil {
			p.Problem = "Give both times in a form such as 2026-01-31T15:04 (UTC)."
			return v.showSchedule(http.StatusBadRequest, p)
		}
		b, err := v.Client.BackfillSchedule(v.ctx(), name, from, until)
		if err == nil {
			p.Filling = &b
			return v.showSchedule(http.StatusOK, p)
		}
		p.Problem = word.Sentence(err.Error())
		return v.again(err, func(status int) error { return v.showSchedule(status, p) })
	case "preview", "save":
		return v.editSchedule(name, to)
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		p.Problem = word.Sentence(err.Error())
		return v.again(err, func(status int) error { return v.showSchedule(status, p) })
	}
	http.Redirect(v.W, v.R, to, http.StatusSeeOther)
	return nil
}

// editSchedule shows the next times of a changed schedule, or keeps the change.
func (v *Visit) editSchedule(name, to string) (err error) {
	p := &schedulePage{Filled: v.R.PostForm}
	if p.Schedule, err = v.Client.Schedule(v.ctx(), name); err != nil {
		return err
	}
	if p.Get("do") == "preview" {
		if err := p.preview(v); err != nil {
			return v.again(err, func(status int) error { return v.showSchedule(status, p) })
		}
		return v.showSchedule(http.StatusOK, p)
	}
	s, ok := p.read()
	if !ok {
		return v.showSchedule(http.StatusBadRequest, p)
	}
	if _, err := v.Client.SetSchedule(v.ctx(), s, true); err != nil {
		p.Problem = word.Sentence(err.Error())
		return v.again(err, func(status int) error { return v.showSchedule(status, p) })
	}
	http.Redirect(v.W, v.R, to, http.StatusSeeOther)
	return nil
}
