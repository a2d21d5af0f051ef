// Package reply writes the answers that the server gives outside of its API framework: JSON, and refusals.
//
// Every refusal has one form, a [Problem] (RFC 9457), or {"error": text} for the operations of flawless.dev.
// The package maps each class of errors to an HTTP status. It decides nothing about requests.
package reply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/value"
)

// Problem is the answer to a request that is refused (RFC 9457). The member code is the class of the error.
type Problem struct {
	Type   string        `json:"type" doc:"always about:blank; status and code identify the kind of problem"`
	Title  string        `json:"title" doc:"name of the HTTP status"`
	Status int           `json:"status"`
	Detail string        `json:"detail" doc:"what failed, why, and what to do"`
	Code   flawless.Code `json:"code,omitempty" example:"not found" doc:"class of error: not found, invalid, conflict, refused, too large, disk full, stopping, elsewhere, fenced, damaged, diverged, the answer was lost, denied; later versions may add others"`
	Errors []Fault       `json:"errors,omitempty" doc:"the invalid parts of the request"`
	// Settled is the earlier settlement of the promise.
	Settled *engine.Settlement `json:"settled,omitempty" doc:"the value or error that the promise was settled with before"`

	shard *string // see ShardHeader
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the content type of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Fault is an invalid part of a request.
type Fault struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"position in the request, such as body.labels, path.n or query.limit"`
	Field    string `json:"field,omitempty" doc:"position in an input, a message or the value of a promise, such as items.0.price; missing if it concerns the whole value"`
}

// New returns a problem.
func New(status int, code flawless.Code, detail string) *Problem {
	title := http.StatusText(status)
	if title == "" {
		title = "Client Closed Request"
	}
	return &Problem{Type: "about:blank", Title: title, Status: status, Code: code, Detail: detail}
}

// statuses maps classes of errors to HTTP statuses; any other error is an internal one.
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
	{flawless.Elsewhere, http.StatusMisdirectedRequest},
	{flawless.Fenced, http.StatusServiceUnavailable},
	{flawless.Damaged, http.StatusInternalServerError},
	{flawless.Diverged, http.StatusConflict},
	{flawless.Lost, http.StatusBadGateway},
	{flawless.Denied, http.StatusForbidden},
}

// From converts an error to a [Problem]; nil stays nil.
func From(err error) error {
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
	case errors.Is(err, ErrSlow):
		status = http.StatusRequestTimeout
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		status = 499 // the client has disconnected
	}
	p := New(status, code, err.Error())
	p.Errors, p.Settled, p.shard = faults, settled, shardOf(err)
	return p
}

// ErrSlow is the error for a body that arrives too slowly.
var ErrSlow = fmt.Errorf("the body of the request arrived too slowly, so the server stopped reading it; send it again over a faster connection: %w", flawless.Invalid)

// Refuse answers a request with an error, in the form of the API that the request is for.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	errors.As(From(err), &p)
	Write(w, r, p)
}

// Deny answers a request that does not reach the API, in the form of the API that the request is for.
func Deny(w http.ResponseWriter, r *http.Request, status int, why string) {
	Write(w, r, New(status, flawless.Denied, why))
}

// Write answers a request with a problem, in the form of the API that the request is for.
func Write(w http.ResponseWriter, r *http.Request, p *Problem) {
	var v any = p
	kind := p.ContentType("")
	for _, prefix := range theirs {
		if strings.HasPrefix(r.URL.Path, prefix) {
			kind, v = "application/json", map[string]string{"error": p.Detail}
		}
	}
	w.Header().Set("Content-Type", kind)
	p.SetHeaders(w.Header().Set)
	w.WriteHeader(p.Status)
	_ = WriteJSON(w, v)
}

// theirs has the prefixes of flawless.dev's operations, whose refusals are {"error": text}.
var theirs = []string{"/api/module/", "/api/workflow/", "/workflow/"}
