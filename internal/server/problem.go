package server

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// asProblem converts refusals of the framework to problems, which do not quote the request.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
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
		message := e.Message
		if strings.HasPrefix(message, "invalid date/time for format ") { // a layout of Go's package time
			message = "it is not a time; use one such as 2026-03-01T06:00:00Z"
		}
		p.Errors = append(p.Errors, reply.Fault{Message: message, Location: e.Location})
	}
	return p, nil
}
