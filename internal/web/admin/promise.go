package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/form"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func promiseRoutes() []Route {
	return []Route{
		{"GET /promises", promises},
		{"GET /runs/{id}/promises/{call}", promise},
		{"POST /runs/{id}/promises/{call}", promise},
	}
}

// maxPromiseRuns is in how many runs open promises are looked for.
const maxPromiseRuns = 100

// promiseRow is an open promise in the list.
type promiseRow struct {
	flawless.Promise
	Workflow, Site string
}

// promises lists the open promises of one run, or of the newest runs that wait for one: the API has no list of all.
func promises(v *Visit) error {
	id := strings.TrimSpace(v.R.URL.Query().Get("run"))
	var runs []flawless.Run
	more := false
	if id != "" {
		r, err := v.Client.Run(v.ctx(), id, false)
		if err != nil {
			return err
		}
		runs = []flawless.Run{r}
	} else {
		all, cut, err := v.upTo(flawless.Filter{Status: []flawless.Status{flawless.Waiting, flawless.Paused, flawless.Unresolved}})
		if err != nil {
			return err
		}
		runs = slices.DeleteFunc(all, func(r flawless.Run) bool {
			return r.Waiting == nil || r.Waiting.Kind != flawless.WaitPromise && r.Waiting.Others == 0
		})
		if more = cut || len(runs) > maxPromiseRuns; len(runs) > maxPromiseRuns {
			runs = runs[:maxPromiseRuns]
		}
	}
	var rows []promiseRow
	for _, r := range runs {
		open, err := v.Client.Promises(v.ctx(), r.ID)
		if errors.Is(err, flawless.NotFound) {
			continue // it is gone by now
		}
		if err != nil {
			return err
		}
		for _, p := range open {
			row := promiseRow{Promise: p, Workflow: r.Module + "/" + r.Workflow}
			if r.Waiting != nil && r.Waiting.Call == p.Call {
				row.Site = r.Waiting.Site
			}
			rows = append(rows, row)
		}
	}
	v.Show(http.StatusOK, "promises.html", Page{Title: "Promises", Here: "/promises", Data: map[string]any{"Promises": rows, "Run": id, "More": more,
		"Commands": []string{"flawless workflow promise list RUN", `flawless workflow promise settle TOKEN '{"approved":true}'`}}})
	return nil
}

// promisePage is the form that settles a promise.
type promisePage struct {
	Promise  flawless.Promise
	Value    *form.Field
	Filled   url.Values
	Problem  string
	Settled  bool
	Commands []string
}

// Get returns what was filled in.
func (p *promisePage) Get(name string) string { return p.Filled.Get(name) }

// promise shows the form that settles a promise, or settles it.
func promise(v *Visit) error {
	id := v.R.PathValue("id")
	open, err := v.Client.Promises(v.ctx(), id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(open, func(p flawless.Promise) bool { return fmt.Sprint(p.Call) == v.R.PathValue("call") })
	if i < 0 {
		return fmt.Errorf("call %.20s of run %s has no open promise: somebody may have settled it already: %w", v.R.PathValue("call"), id, flawless.NotFound)
	}
	p := &promisePage{Promise: open[i], Value: form.Of("value", open[i].Schema), Filled: url.Values{}}
	if p.Value.Label == "" {
		p.Value.Label = "Value"
	}
	show := func(status int) error {
		v.Show(status, "promise.html", Page{Title: "Promise " + p.Promise.Name, Here: "/promises", Data: p})
		return nil
	}
	if v.R.Method == http.MethodGet {
		p.Commands = []string{form.Shell("flawless", "workflow", "promise", "settle", p.Promise.Token, "JSON")}
		return show(http.StatusOK)
	}
	do := v.R.PostFormValue("do")
	p.Filled = v.R.PostForm
	value, ok := p.Value.Read(p.Filled)
	switch do {
	case "show", "settle":
		if !ok {
			return show(http.StatusBadRequest)
		}
		if value == nil {
			value = []byte("null")
		}
		if do == "show" {
			p.Commands = []string{form.Shell("flawless", "workflow", "promise", "settle", p.Promise.Token, string(value)),
				v.curl(http.MethodPost, "/promises/"+url.PathEscape(p.Promise.Token), value)}
			return show(http.StatusOK)
		}
		_, err = v.Client.Settle(v.ctx(), p.Promise.Token, value)
	case "reject":
		text := strings.TrimSpace(p.Get("error"))
		if text == "" {
			p.Problem = "Say what the error is: the code gets it."
			return show(http.StatusBadRequest)
		}
		_, err = v.Client.Reject(v.ctx(), p.Promise.Token, text, v.Who)
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		p.Problem = word.Sentence(err.Error())
		if refused := (*client.Refusal)(nil); errors.As(err, &refused) && do == "settle" {
			placed := len(refused.Faults)
			for _, f := range refused.Faults {
				if p.Value.Blame(f.Field, f.Message) {
					placed--
				}
			}
			if len(refused.Faults) > 0 && placed == 0 {
				p.Problem = "The value does not fit the promise: see the marked fields."
			}
		}
		return v.again(err, show)
	}
	http.Redirect(v.W, v.R, v.Base+"/runs/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}
