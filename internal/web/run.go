package web

import (
	"net/http"
	"net/url"
	"slices"

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
