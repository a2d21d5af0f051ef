package server

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// classed converts refusals of the framework to problems, which do not quote the request.
func classed(_ huma.Context, _ string, v any) (any, error) {
	m, is := v.(*huma.ErrorModel)
	if !is {
		return v, nil
	}
	p := reply.New(m.Status, "", m.Detail)
	switch m.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		p.Code = flawless.Invalid
	}
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, reply.Fault{Message: e.Message, Location: e.Location})
	}
	return p, nil
}
