// Package admin has the pages about everything besides runs: modules and upgrades, schedules, limits, shared state, promises,
// secrets, nodes, settings.
//
// It knows the API only as a client, and HTML only by the names of templates, which belong to package web. A form posts to the path
// of its own page, with do for what to do, and leads away with a redirect when that was done. If the API refuses, the page is shown
// again with the reason and what was filled in, except for secrets. The package keeps no state.
package admin

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/web/word"
)

// Visit is one request for a page.
type Visit struct {
	W      http.ResponseWriter
	R      *http.Request
	Client *client.Client // with the rights of the visitor
	Base   string         // path below which a proxy serves the console, or ""
	Login  bool           // the API needs a token
	Who    string         // name of the visitor in logs
	Now    func() time.Time
	// Show writes a page, and Render returns its HTML.
	Show   func(status int, name string, p Page)
	Render func(name string, p Page) ([]byte, error)
}

// Page is what a page shows.
type Page struct {
	Title string
	Here  string // path of the entry of the side bar
	Data  any
}

// Route is a pattern of http.ServeMux, and what answers its requests. An error that it returns becomes a page.
type Route struct {
	Pattern string
	Serve   func(v *Visit) error
}

// Routes returns the routes of all pages.
func Routes() []Route {
	return slices.Concat(moduleRoutes(), upgradeRoutes(), scheduleRoutes(), limitRoutes(), stateRoutes(), promiseRoutes(), secretRoutes(), nodeRoutes(), settingsRoutes())
}

// Funcs returns what the templates of the pages call, besides the functions that all templates have.
func Funcs() template.FuncMap {
	return template.FuncMap{
		"path":  url.PathEscape,
		"query": func(q string) template.URL { return template.URL(q) }, // comes after a ?, so it cannot name another page
		"size":  word.Size,
		"inc":   func(n int) int { return n + 1 },
		"add":   func(a, b int) int { return a + b },
		"count": func(n int, what string) string { // 1 call, 2 calls
			if n != 1 {
				what += "s"
			}
			return word.Number(n) + " " + what
		},
		"term":  newTerm,
		"retry": func(ms *int64) string { return retryWords(*ms) },
	}
}

// ctx returns the context of the request.
func (v *Visit) ctx() context.Context { return v.R.Context() }

// again shows a page again with the error of what was asked for there, or returns the error if it is not for that page.
func (v *Visit) again(err error, show func(status int) error) error {
	status := http.StatusBadRequest
	if refused := (*client.Refusal)(nil); errors.As(err, &refused) {
		status = refused.Status
	}
	if status == http.StatusUnauthorized || status >= http.StatusInternalServerError || v.ctx().Err() != nil {
		return err
	}
	return show(status)
}
