package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

// Problem is a refusal: RFC 9457, with the class of the error as the member code.
type Problem struct {
	Type   string             `json:"type"`
	Title  string             `json:"title"`
	Status int                `json:"status"`
	Detail string             `json:"detail"`
	Code   flawless.Code      `json:"code,omitempty"`
	Errors []engine.Violation `json:"errors,omitempty"` // members of the input that do not fit
	// Settled is what a promise was settled with before.
	Settled *engine.Settlement `json:"settled,omitempty"`
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

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
}

// problem turns an error into what the client is told.
func problem(err error) error {
	if err == nil {
		return nil
	}
	p := &Problem{Type: "about:blank", Status: http.StatusInternalServerError, Detail: err.Error(), Code: flawless.CodeOf(err)}
	for _, s := range statuses {
		if s.code == p.Code {
			p.Status = s.status
		}
	}
	var v *engine.Violations
	var before *engine.Settled
	switch {
	case errors.As(err, &before):
		p.Settled = &before.With
	case errors.As(err, &v):
		p.Status, p.Errors = http.StatusUnprocessableEntity, v.List
	case errors.Is(err, errSlow):
		p.Status = http.StatusRequestTimeout
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		p.Status = 499 // the client is gone; nobody reads this
	}
	if p.Title = http.StatusText(p.Status); p.Title == "" {
		p.Title = "Client Closed Request"
	}
	return p
}

// refuse answers a request with the problem err, in the words of the API that was asked.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	errors.As(problem(err), &p)
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
