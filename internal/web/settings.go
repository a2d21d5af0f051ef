package web

import (
	"fmt"
	"net/http"

	"github.com/flawless-engine/flawless"
)

func (c *console) settingsRoutes() {
	c.pages.HandleFunc("GET /settings", c.page(func(v *visit) error { return v.showSettings(http.StatusOK, nil) }))
	c.pages.HandleFunc("POST /settings", c.page(c.changeServer))
}

// statRow has the counts of the runs of a module.
type statRow struct {
	flawless.ModuleStats
	Counts []int64 // in the order of flawless.Statuses
	Total  int64
}

// showSettings shows what the server is, how it does, and the saved views.
func (v *visit) showSettings(status int, problem error) error {
	ctx := v.ctx()
	health, err := v.client.Health(ctx)
	if err != nil {
		return err
	}
	stats, err := v.client.Stats(ctx)
	if err != nil {
		return err
	}
	views, err := v.client.Views(ctx)
	if err != nil {
		return err
	}
	build, err := v.client.Version(ctx)
	if err != nil {
		return err
	}
	var rows []statRow
	for _, m := range stats.Modules {
		row := statRow{ModuleStats: m}
		for _, s := range flawless.Statuses {
			row.Counts = append(row.Counts, m.Runs[s])
			row.Total += m.Runs[s]
		}
		rows = append(rows, row)
	}
	d := map[string]any{"Health": health, "Stats": rows, "Statuses": flawless.Statuses, "Views": views, "Build": build, "Server": v.r.Host + v.base,
		"Commands": []string{"flawless stats", "flawless view list", "flawless store check"}}
	if health.Check != nil { // the store has files of its own
		check, err := v.client.StoreCheck(ctx)
		if err != nil {
			return err
		}
		d["Check"] = check
	}
	if problem != nil {
		d["Problem"] = sentence(problem.Error())
	}
	v.show(status, "settings.html", &view{Title: "Settings", Here: "/settings", Data: d})
	return nil
}

// changeServer removes a saved view, or starts a check of the store.
func (c *console) changeServer(v *visit) (err error) {
	switch v.r.PostFormValue("do") {
	case "unview":
		err = v.client.RemoveView(v.ctx(), v.r.PostFormValue("view"))
	case "check":
		_, err = v.client.CheckStore(v.ctx())
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showSettings(status, err) })
	}
	http.Redirect(v.w, v.r, v.base+"/settings", http.StatusSeeOther)
	return nil
}
