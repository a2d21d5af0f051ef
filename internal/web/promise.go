package web

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
)

func (c *console) promiseRoutes() {
	c.pages.HandleFunc("GET /promises", c.page(c.promises))
	c.pages.HandleFunc("GET /runs/{id}/promises/{call}", c.page(c.promise))
	c.pages.HandleFunc("POST /runs/{id}/promises/{call}", c.page(c.promise))
}

// maxPromiseRuns is in how many runs open promises are looked for.
const maxPromiseRuns = 100

// promiseRow is an open promise in the list.
type promiseRow struct {
	flawless.Promise
	Workflow, Site string
}

// promises lists the open promises of one run, or of the newest runs that wait for one: the API has no list of all.
func (c *console) promises(v *visit) error {
	id := strings.TrimSpace(v.r.URL.Query().Get("run"))
	var runs []flawless.Run
	more := false
	if id != "" {
		r, err := v.client.Run(v.ctx(), id, false)
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
		open, err := v.client.Promises(v.ctx(), r.ID)
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
	v.show(http.StatusOK, "promises.html", &view{Title: "Promises", Here: "/promises", Data: map[string]any{"Promises": rows, "Run": id, "More": more,
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
func (c *console) promise(v *visit) error {
	id := v.r.PathValue("id")
	open, err := v.client.Promises(v.ctx(), id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(open, func(p flawless.Promise) bool { return fmt.Sprint(p.Call) == v.r.PathValue("call") })
	if i < 0 {
		return fmt.Errorf("call %.20s of run %s has no open promise: somebody may have settled it already: %w", v.r.PathValue("call"), id, flawless.NotFound)
	}
	p := &promisePage{Promise: open[i], Value: form.Of("value", open[i].Schema), Filled: url.Values{}}
	if p.Value.Label == "" {
		p.Value.Label = "Value"
	}
	show := func(status int) error {
		v.show(status, "promise.html", &view{Title: "Promise " + p.Promise.Name, Here: "/promises", Data: p})
		return nil
	}
	if v.r.Method == http.MethodGet {
		p.Commands = []string{form.Shell("flawless", "workflow", "promise", "settle", p.Promise.Token, "JSON")}
		return show(http.StatusOK)
	}
	do := v.r.PostFormValue("do")
	p.Filled = v.r.PostForm
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
		_, err = v.client.Settle(v.ctx(), p.Promise.Token, value)
	case "reject":
		text := strings.TrimSpace(p.Get("error"))
		if text == "" {
			p.Problem = "Say what the error is: the code gets it."
			return show(http.StatusBadRequest)
		}
		_, err = v.client.Reject(v.ctx(), p.Promise.Token, text, who)
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		p.Problem = sentence(err.Error())
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
	http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}
