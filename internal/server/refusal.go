package server

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
)

// refusal is a request that did not come as far as the engine, with the class of the error.
type refusal struct {
	*huma.ErrorModel
	Code flawless.Code `json:"code,omitempty"`
}

// classed gives refusals of the framework the class that those of the engine have.
func classed(_ huma.Context, _ string, v any) (any, error) {
	m, is := v.(*huma.ErrorModel)
	if !is {
		return v, nil
	}
	r := &refusal{m, ""}
	switch m.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		r.Code = flawless.Invalid
	}
	return r, nil
}
