package server

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// once is the middleware that rejects repeated and empty parameters. The framework would use the first value, or the
// default. A list may be repeated if each parameter has one value; otherwise its values are separated by commas. An
// empty list would select everything, and an action on the selected runs would apply to all of them.
func (a *api) once(c huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(c)
	query := r.URL.Query()
	for _, p := range c.Operation().Parameters {
		values := query[p.Name]
		switch {
		case p.In != "query" || len(values) == 0:
		case len(values) > 1 && !repeatable(p):
			why := "is given more than once"
			if p.Schema.Type == huma.TypeArray {
				why += "; separate its values by commas"
			}
			_ = huma.WriteErr(a.huma, c, http.StatusUnprocessableEntity, fmt.Sprintf("the parameter %s %s", p.Name, why),
				&huma.ErrorDetail{Message: why, Location: "query." + p.Name})
			return
		case slices.Contains(values, "") && !mayBeEmpty(p.Schema):
			a.write(c, nil, false, empty("parameter", "query", p.Name))
			return
		}
	}
	next(c)
}

// repeatable reports whether a parameter may be given more than once.
func repeatable(p *huma.Param) bool {
	return p.Schema.Type == huma.TypeArray && p.Explode != nil && *p.Explode
}
