package server

import (
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// once is the middleware that rejects repeated parameters that are not lists, and empty parameters. The framework
// would use the first value, or the default.
func (a *api) once(c huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(c)
	query := r.URL.Query()
	for _, p := range c.Operation().Parameters {
		values := query[p.Name]
		switch {
		case p.In != "query" || p.Schema.Type == huma.TypeArray || len(values) == 0:
		case len(values) > 1:
			why := "is given more than once"
			_ = huma.WriteErr(a.huma, c, http.StatusUnprocessableEntity, fmt.Sprintf("the parameter %s %s", p.Name, why),
				&huma.ErrorDetail{Message: why, Location: "query." + p.Name})
			return
		case values[0] == "" && !mayBeEmpty(p.Schema):
			a.write(c, nil, false, empty("parameter", "query", p.Name))
			return
		}
	}
	next(c)
}
