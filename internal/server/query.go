package server

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// once refuses parameters that are given several times, and parameters that are empty: the framework would take the
// first one, or the default. A list may be given several times where it is one value each time, and not separated by
// commas. An empty list would be no filter at all, and an action on the runs that it selects one on all of them.
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

func repeatable(p *huma.Param) bool {
	return p.Schema.Type == huma.TypeArray && p.Explode != nil && *p.Explode
}
