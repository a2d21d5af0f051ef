package server

import (
	"fmt"
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
		if name, is := strings.CutPrefix(message, "expected required property "); is {
			message = "the property " + strings.TrimSuffix(name, " to be present") + " is missing"
		}
		if strings.HasPrefix(message, "invalid date/time for format ") { // a layout of Go's package time
			message = "it is not a time; use one such as 2026-03-01T06:00:00Z"
		}
		p.Errors = append(p.Errors, reply.Fault{Message: message, Location: e.Location})
	}
	if m.Detail == "validation failed" { // many clients show nothing else
		p.Detail = "the request is invalid: " + inWords(p.Errors)
	}
	return p, nil
}

// maxListedFaults is how many invalid parts of a request its problem's detail names.
const maxListedFaults = 3

// inWords returns the first invalid parts of a request as a text.
func inWords(faults []reply.Fault) string {
	var b strings.Builder
	for i, f := range faults {
		if i == maxListedFaults {
			fmt.Fprintf(&b, "; and %d more", len(faults)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", f.Location, f.Message)
	}
	return b.String()
}
