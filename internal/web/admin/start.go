package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

// startForm shows the form that starts a run of a workflow.
func startForm(v *Visit) error {
	p, err := v.startPage()
	if err != nil {
		return err
	}
	p.fresh = flawless.NewRunID(v.Now())
	return v.showStart(http.StatusOK, p)
}

// startPage is the form that starts a run.
type startPage struct {
	Module   flawless.Module
	Workflow *flawless.Workflow
	Input    *form.Field
	Filled   url.Values
	Problems map[string]string // of the other fields, by the name of their controls
	Problem  string
	Commands []string
	fresh    string // the id of the run unless one was filled in: the same for all answers to one form
}

// Fresh returns the id that the form carries.
func (p *startPage) Fresh() string { return p.fresh }

// Get returns what was filled in.
func (p *startPage) Get(name string) string { return p.Filled.Get(name) }

// Wrong returns what is wrong with it.
func (p *startPage) Wrong(name string) string { return p.Problems[name] }

// term is a field of a form with one line.
type term struct{ Name, Label, Holder, Hint, Value, Problem string }

// newTerm returns a field with what was filled in.
func newTerm(p interface {
	Get(string) string
	Wrong(string) string
}, name, label, holder, hint string) term {
	return term{name, label, holder, hint, p.Get(name), p.Wrong(name)}
}

func (v *Visit) startPage() (*startPage, error) {
	name, workflow := v.R.PathValue("name"), v.R.PathValue("workflow")
	versions, err := v.Client.Module(v.ctx(), name)
	if err != nil {
		return nil, err
	}
	want, _ := strconv.Atoi(v.R.FormValue("version"))
	for _, m := range versions {
		if w := m.Workflow(workflow); w != nil && (want == 0 || want == m.Version) {
			p := &startPage{Module: m, Workflow: w, Input: form.Of("in", w.Input), Filled: url.Values{}, Problems: map[string]string{}}
			if want != 0 {
				p.Filled.Set("version", strconv.Itoa(want))
			}
			return p, nil
		}
		if want == 0 {
			break // the newest one is used
		}
	}
	return nil, fmt.Errorf("module %s has no workflow %q: %w", name, workflow, flawless.NotFound)
}

func (v *Visit) showStart(status int, p *startPage) error {
	v.Show(status, "start.html", Page{Title: "Start " + p.Workflow.Name, Here: "/modules", Data: p})
	return nil
}

// startRun starts the run of a form, or shows the same as a command. The form carries the id of the run, so that sending it twice
// starts one run.
func startRun(v *Visit) error {
	p, err := v.startPage()
	if err != nil {
		return err
	}
	p.Filled = v.R.PostForm
	if p.fresh = v.R.PostFormValue("fresh"); flawless.CheckID(p.fresh) != nil {
		p.fresh = flawless.NewRunID(v.Now())
	}
	s, ok := p.read(v.Now())
	if !ok {
		return v.showStart(http.StatusBadRequest, p)
	}
	if v.R.PostFormValue("step") == "show" {
		p.Commands = v.startCommands(s, p)
		return v.showStart(http.StatusOK, p)
	}
	r, _, err := v.Client.Start(v.ctx(), s, false)
	if err != nil {
		p.blame(err)
		return v.again(err, func(status int) error { return v.showStart(status, p) })
	}
	http.Redirect(v.W, v.R, v.Base+"/runs/"+url.PathEscape(r.ID), http.StatusSeeOther)
	return nil
}

// read returns what the form asks for. If something cannot be read, it says so next to the field and returns false.
func (p *startPage) read(now time.Time) (s client.Start, ok bool) {
	get := func(name string) string { return strings.TrimSpace(p.Filled.Get(name)) }
	s = client.Start{Module: p.Module.Name, Workflow: p.Workflow.Name, ID: cmp.Or(get("id"), p.fresh), Version: get("version"),
		Grace: get("grace"), ConcurrencyKey: get("key")}
	s.Input, ok = p.Input.Read(p.Filled)
	wrong := func(name string, err error) { p.Problems[name], ok = err.Error(), false }
	labels, err := readLabels(get("labels"))
	if err != nil {
		wrong("labels", err)
	}
	s.Labels = labels
	if text := get("deadline"); text != "" {
		d, err := form.ParseSpan(text)
		if err != nil {
			wrong("deadline", err)
		}
		at := now.Add(d)
		s.Deadline = &at
	}
	for name, to := range map[string]*int{"concurrency": &s.Concurrency, "priority": &s.Priority} {
		if text := get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				wrong(name, fmt.Errorf("%.50q is not a number", text))
			}
			*to = n
		}
	}
	return s, ok
}

// readLabels reads labels, one a line.
func readLabels(text string) (map[string]string, error) {
	var out map[string]string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, err := flawless.ParseLabel(line)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}

// blame puts the problems that the API has found next to their fields.
func (p *startPage) blame(err error) {
	p.Problem = word.Sentence(err.Error())
	refused := (*client.Refusal)(nil)
	if !errors.As(err, &refused) {
		return
	}
	if errors.Is(err, flawless.Conflict) {
		p.Problems["id"] = "there is another run with this id"
	}
	placed := len(refused.Faults)
	for _, f := range refused.Faults {
		if p.Input.Blame(f.Field, f.Message) {
			placed--
		}
	}
	if len(refused.Faults) > 0 && placed == 0 {
		p.Problem = "The input does not fit the workflow: see the marked fields."
	}
}

// startCommands returns the start as commands for a shell.
func (v *Visit) startCommands(s client.Start, p *startPage) []string {
	words := []string{"flawless", "workflow", "start", s.Module, s.Workflow}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, value)
		}
	}
	add("--input", string(s.Input))
	add("--id", s.ID)
	for _, l := range word.SortedLabels(s.Labels) {
		words = append(words, "--label", l.Name+"="+l.Value)
	}
	add("--version", s.Version)
	add("--deadline", strings.TrimSpace(p.Get("deadline")))
	add("--grace", s.Grace)
	add("--concurrency-key", s.ConcurrencyKey)
	for flag, n := range map[string]int{"--concurrency": s.Concurrency, "--priority": s.Priority} {
		if n != 0 {
			add(flag, strconv.Itoa(n))
		}
	}
	return []string{form.Shell(words...), v.curl(http.MethodPost, "/runs", s)}
}

// curl returns a request to the API as a command for a shell. The token is left to the environment.
func (v *Visit) curl(method, path string, body any) string {
	scheme := "http"
	if v.R.TLS != nil || v.R.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	line := "curl -X " + method + " " + form.Quote(scheme+"://"+v.R.Host+v.Base+"/api/v1"+path)
	if v.Login {
		line += ` -H "Authorization: Bearer $FLAWLESS_TOKEN"`
	}
	if body == nil {
		return line
	}
	return line + " \\\n  -H 'Content-Type: application/json' -d " + form.Quote(compact(body))
}

// compact returns a value as JSON, as people would write it.
func compact(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}
