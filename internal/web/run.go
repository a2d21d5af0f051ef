package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/flawless-engine/flawless"
)

// run shows one run. The script draws its timeline and log from the API.
func (c *console) run(v *visit) error {
	id := v.r.PathValue("id")
	r, err := v.client.Run(v.ctx(), id, false)
	if err != nil {
		return err
	}
	d := map[string]any{"Run": r, "Verbs": can(r)}
	first, err := v.client.Log(v.ctx(), id, 0, 1)
	if err != nil {
		return err
	}
	if len(first) > 0 && len(first[0].Entries) > 0 && first[0].Entries[0].Start != nil {
		d["Start"] = first[0].Entries[0].Start
	}
	if data, err := v.client.Data(v.ctx(), id); err == nil && len(data) > 0 && string(data) != "null" {
		d["Data"] = data
	}
	children, more, err := v.client.Runs(v.ctx(), flawless.Filter{Parent: id, Limit: 20})
	if err != nil {
		return err
	}
	d["Children"], d["MoreChildren"] = children, more != ""
	if d["Forks"], _, err = v.client.Runs(v.ctx(), flawless.Filter{Prefix: forkName(id), Limit: 20}); err != nil {
		return err
	}
	if versions, err := v.client.Module(v.ctx(), r.Module); err == nil {
		if i := slices.IndexFunc(versions, func(m flawless.Module) bool { return m.Digest == r.Digest }); i >= 0 {
			d["Version"] = versions[i].Version
		}
		d["Versions"] = versions
	}
	v.show(http.StatusOK, "run.html", &view{Title: r.ID, Here: "/runs", Data: d})
	return nil
}

// act does something to one run.
func (c *console) act(v *visit) error {
	i := slices.IndexFunc(verbs, func(x verb) bool { return x.Name == v.r.PathValue("verb") })
	if i < 0 {
		return errNoPage
	}
	r, err := verbs[i].do(v, v.r.PathValue("id"), v.r.PostFormValue("note"))
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, v.base+"/runs/"+url.PathEscape(r.ID), http.StatusSeeOther)
	return nil
}

// inbox lists the calls that need a decision, with the evidence about one of them.
func (c *console) inbox(v *visit) error { return v.showInbox(http.StatusOK, nil) }

func (v *visit) showInbox(status int, problem error) error {
	runs, more, err := v.sample(flawless.Filter{Status: []flawless.Status{flawless.Unresolved}})
	if err != nil {
		return err
	}
	d := map[string]any{"Groups": doubtful(runs), "Count": figure{len(runs), more}}
	if problem != nil {
		d["Problem"] = sentence(problem.Error())
	}
	id := v.r.FormValue("run")
	if id == "" && len(runs) > 0 {
		id = doubtful(runs)[0].Runs[0].ID
	}
	if id != "" {
		r, err := v.client.Run(v.ctx(), id, false)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(v.r.FormValue("call"))
		at := max(0, slices.IndexFunc(r.Unresolved, func(x flawless.Doubt) bool { return x.Call == n }))
		d["Run"] = r
		if len(r.Unresolved) > 0 {
			d["Doubt"] = r.Unresolved[at]
			if d["Stages"], err = v.stages(r.ID, r.Unresolved[at].Call); err != nil {
				return err
			}
		}
	}
	v.show(status, "inbox.html", &view{Title: "Inbox", Here: "/inbox", Data: d})
	return nil
}

// stages returns how far the last attempt of a call got, as far as the log says.
func (v *visit) stages(id string, call int) (all []flawless.Stage, err error) {
	for rec, err := range v.client.WholeLog(v.ctx(), id) {
		if err != nil {
			return nil, err
		}
		for _, e := range rec.Entries {
			if e.Turn != nil && slices.ContainsFunc(e.Turn.Calls, func(c flawless.Call) bool { return c.N == call }) {
				all = []flawless.Stage{{Name: "intended", At: e.At}}
			}
			if e.Attempt != nil && e.Attempt.Call == call && e.Attempt.Begun {
				all = []flawless.Stage{{Name: "intended", At: e.At}}
			}
			if e.Unknown != nil && e.Unknown.Call == call {
				all = append(all[:min(len(all), 1)], e.Unknown.Stages...)
				all = append(slices.DeleteFunc(all, func(s flawless.Stage) bool { return s.Name == "failed" }), flawless.Stage{Name: "unknown", At: e.At})
			}
		}
	}
	return all, nil
}

// decide takes a decision of a person about a call.
func (c *console) decide(v *visit) error {
	n, err := strconv.Atoi(v.r.PostFormValue("call"))
	if err != nil {
		return fmt.Errorf("the form names no call: %w", flawless.Invalid)
	}
	id := v.r.PostFormValue("run")
	x := flawless.Decision{Call: n, Resolution: flawless.Resolution(v.r.PostFormValue("resolution")), Who: who, Note: v.r.PostFormValue("note")}
	switch x.Resolution {
	case flawless.Respond:
		x.Body = flawless.Bytes(v.r.PostFormValue("body"))
		if text := v.r.PostFormValue("status"); text != "" {
			if x.Status, err = strconv.Atoi(text); err != nil {
				return fmt.Errorf("the status %.20q is not a number: %w", text, flawless.Invalid)
			}
		}
	case flawless.Tell:
		x.Text = v.r.PostFormValue("text")
	case flawless.Retry, flawless.Fail:
	default:
		return v.showInbox(http.StatusBadRequest, fmt.Errorf("choose one of the four decisions"))
	}
	_, err = v.client.Resolve(v.ctx(), id, x)
	switch {
	case errors.Is(err, flawless.Conflict):
		return v.showInbox(http.StatusConflict, fmt.Errorf("your decision was not taken, because somebody else was faster: %w", err))
	case err != nil:
		return err
	}
	http.Redirect(v.w, v.r, v.base+"/inbox?decided="+url.QueryEscape(id), http.StatusSeeOther)
	return nil
}
