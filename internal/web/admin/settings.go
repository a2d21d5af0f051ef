package admin

import (
	"fmt"
	"net/http"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/web/word"
)

func settingsRoutes() []Route {
	return []Route{
		{"GET /settings", func(v *Visit) error { return v.showSettings(http.StatusOK, nil) }},
		{"POST /settings", changeServer},
	}
}

// statRow has the counts of the runs of a module.
type statRow struct {
	flawless.ModuleStats
	Counts []int64 // in the order of flawless.Statuses
	Total  int64
}

// showSettings shows what the server is, how it does, and the saved views.
func (v *Visit) showSettings(status int, problem error) error {
	ctx := v.ctx()
	health, err := v.Client.Health(ctx)
	if err != nil {
		return err
	}
	stats, err := v.Client.Stats(ctx)
	if err != nil {
		return err
	}
	views, err := v.Client.Views(ctx)
	if err != nil {
		return err
	}
	build, err := v.Client.Version(ctx)
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
	d := map[string]any{"Health": health, "Stats": rows, "Statuses": flawless.Statuses, "Views": views, "Build": build, "Server": v.R.Host + v.Base,
		"Commands": []string{"flawless stats", "flawless view list", "flawless store check"}}
	if health.Check != nil { // the store has files of its own
		check, err := v.Client.StoreCheck(ctx)
		if err != nil {
			return err
		}
		d["Check"] = check
	}
	if problem != nil {
		d["Problem"] = word.Sentence(problem.Error())
	}
	v.Show(status, "settings.html", Page{Title: "Settings", Here: "/settings", Data: d})
	return nil
}

// changeServer removes a saved view, or starts a check of the store.
func changeServer(v *Visit) (err error) {
	switch v.R.PostFormValue("do") {
	case "unview":
		err = v.Client.RemoveView(v.ctx(), v.R.PostFormValue("view"))
	case "check":
		_, err = v.Client.CheckStore(v.ctx())
	default:
		return fmt.Errorf("the form does not say what to do: %w", flawless.Invalid)
	}
	if err != nil {
		return v.again(err, func(status int) error { return v.showSettings(status, err) })
	}
	http.Redirect(v.W, v.R, v.Base+"/settings", http.StatusSeeOther)
	return nil
}
