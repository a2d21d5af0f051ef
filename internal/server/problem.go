package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/value"
)

// Problem is the only form in which this API refuses a request: RFC 9457, with the class of the error as
// the member code.
type Problem struct {
	Type   string        `json:"type" doc:"always about:blank; status and code identify the kind of problem"`
	Title  string        `json:"title" doc:"name of the HTTP status"`
	Status int           `json:"status"`
	Detail string        `json:"detail" doc:"what failed, why, and what to do"`
	Code   flawless.Code `json:"code,omitempty" example:"not found" doc:"class of error: not found, invalid, conflict, refused, too large, disk full, stopping, fenced, damaged, diverged, denied; later versions may add others"`
	Errors []Fault       `json:"errors,omitempty" doc:"the invalid parts of the request"`
	// Settled is what a promise was settled with before.
	Settled *engine.Settlement `json:"settled,omitempty" doc:"the value or error that the promise was settled with before"`
}

// Fault is a part of a request that does not fit.
type Fault struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"position in the request, such as body.labels, path.n or query.limit"`
	Field    string `json:"field,omitempty" doc:"position in an input, a message or the value of a promise, such as items.0.price; missing if it concerns the whole value"`
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// newProblem returns the problem of a status.
func newProblem(status int, code flawless.Code, detail string) *Problem {
	title := http.StatusText(status)
	if title == "" {
		title = "Client Closed Request"
	}
	return &Problem{Type: "about:blank", Title: title, Status: status, Code: code, Detail: detail}
}

// statuses has the HTTP status of each class of error.
var statuses = []struct {
	code   flawless.Code
	status int
}{
	{flawless.NotFound, http.StatusNotFound},
	{flawless.Invalid, http.StatusBadRequest},
	{flawless.Conflict, http.StatusConflict},
	{flawless.Refused, http.StatusUnprocessableEntity},
	{flawless.TooLarge, http.StatusRequestEntityTooLarge},
	{flawless.Full, http.StatusInsufficientStorage},
	{flawless.Stopping, http.StatusServiceUnavailable},
	{flawless.Fenced, http.StatusServiceUnavailable},
	{flawless.Damaged, http.StatusInternalServerError},
	{flawless.Diverged, http.StatusConflict},
	{flawless.Denied, http.StatusForbidden},
}

// problem turns an error into what the client is told.
func problem(err error) error {
	if err == nil {
		return nil
	}
	if p := new(Problem); errors.As(err, &p) {
		return p
	}
	code, status := flawless.CodeOf(err), http.StatusInternalServerError
	for _, s := range statuses {
		if s.code == code {
			status = s.status
		}
	}
	var v *value.Violations
	var before *engine.Settled
	var faults []Fault
	var settled *engine.Settlement
	switch {
	case errors.As(err, &before):
		settled = &before.With
	case errors.As(err, &v):
		status = http.StatusUnprocessableEntity
		for _, x := range v.List {
			faults = append(faults, Fault{Message: x.Message, Field: x.Field})
		}
	case errors.Is(err, errSlow):
		status = http.StatusRequestTimeout
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		status = 499 // the client is gone; nobody reads this
	}
	p := newProblem(status, code, err.Error())
	p.Errors, p.Settled = faults, settled
	return p
}

// classed turns refusals of the framework into those of this API. They do not repeat what was sent.
func classed(_ huma.Context, _ string, v any) (any, error) {
	m, is := v.(*huma.ErrorModel)
	if !is {
		return v, nil
	}
	p := newProblem(m.Status, "", m.Detail)
	switch m.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		p.Code = flawless.Invalid
	}
	for _, e := range m.Errors {
		p.Errors = append(p.Errors, Fault{Message: e.Message, Location: e.Location})
	}
	return p, nil
}

// refuse answers a request with the problem err, in the words of the API that was asked.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	errors.As(problem(err), &p)
	write(w, r, p)
}

// write answers with a problem, in the form of the API that the request was for.
func write(w http.ResponseWriter, r *http.Request, p *Problem) {
	var v any = p
	kind := p.ContentType("")
	for _, prefix := range theirs {
		if strings.HasPrefix(r.URL.Path, prefix) {
			kind, v = "application/json", map[string]string{"error": p.Detail}
		}
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(p.Status)
	_ = writeJSON(w, v)
}
