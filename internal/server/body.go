package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
)

// Every body of a request is read by readBody into memory of its own. The framework reads a copy of it, into buffers
// that it reuses for later requests, so handlers must not keep what it calls RawBody. Handlers that need the bytes
// of a body embed Payload instead.

// readBody reads a body of at most limit bytes. The caller owns the bytes.
func readBody(body io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	switch {
	case err != nil:
		return nil, bodyError(err)
	case int64(len(b)) > limit:
		return nil, oversized(limit)
	}
	return b, nil
}

// bodyError converts an error of reading a body.
func bodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reply.ErrSlow
	case errors.As(err, &large):
		return oversized(large.Limit)
	}
	return fmt.Errorf("reading the body of the request: %v: %w", err, flawless.Invalid)
}

// oversized returns the error for a body above its limit.
func oversized(limit int64) error {
	return fmt.Errorf("the body of the request is too large: at most %d bytes are allowed: %w", limit, flawless.TooLarge)
}

// checkText rejects text that is not UTF-8, as JSON must be (RFC 8259, section 8.1).
func checkText(what string, text []byte) error {
	if utf8.Valid(text) {
		return nil
	}
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return fmt.Errorf("%s is not valid UTF-8: byte %d is 0x%02x: %w", what, at, text[at], flawless.Invalid)
}

// takeBody is the middleware that reads and checks the body of a request.
func (a *api) takeBody(c huma.Context, next func(huma.Context)) {
	op := c.Operation()
	if op.RequestBody == nil {
		next(c)
		return
	}
	b, err := readBody(c.BodyReader(), op.MaxBodyBytes-1)
	forward.KeepBody(c.Context(), b)
	if _, isJSON := op.RequestBody.Content["application/json"]; err == nil && isJSON {
		err = checkText("the body of the request", b)
	}
	if err == nil {
		err = a.checkMembers(op, b)
	}
	if err == nil && op.RequestBody.Required && len(b) == 0 {
		err = fmt.Errorf("the request has no body, but this operation needs one: %w", flawless.Invalid)
	}
	if err != nil {
		a.write(c, nil, false, err)
		return
	}
	next(&bodyContext{c, b, a.lend})
}

// optionalBodies makes a body optional if all of its members are. The framework requires every body that is not a
// pointer, whatever its tags say.
func (a *api) optionalBodies() {
	doc := a.huma.OpenAPI()
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Post, path.Put, path.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			body := op.RequestBody.Content["application/json"]
			if body == nil {
				continue
			}
			schema := body.Schema
			if schema.Ref != "" {
				schema = doc.Components.Schemas.SchemaFromRef(schema.Ref)
			}
			if schema.Type == huma.TypeObject && len(schema.Required) == 0 {
				op.RequestBody.Required = false
			}
		}
	}
}

type humaContext huma.Context // a field of this name does not clash with the method Context

// bodyContext is the context of a request whose body has been read.
type bodyContext struct {
	humaContext
	body []byte
	lend func([]byte) io.Reader
}

// Unwrap returns the original context.
func (c *bodyContext) Unwrap() huma.Context { return c.humaContext }

// BodyReader returns the body for the framework, which copies it.
func (c *bodyContext) BodyReader() io.Reader { return c.lend(c.body) }

// bodyReader returns a reader of a body for the framework.
func bodyReader(b []byte) io.Reader { return bytes.NewReader(b) }

// Payload is the unchanged body of a request. The handler owns the bytes.
type Payload struct{ Bytes []byte }

// Resolve implements huma.Resolver.
func (p *Payload) Resolve(c huma.Context) []error {
	p.Bytes = c.(*bodyContext).body
	return nil
}

// withPayload describes the body of an operation whose handler takes a Payload.
func withPayload(op huma.Operation, contentType string, required bool, schema *huma.Schema) huma.Operation {
	if schema == nil {
		schema = &huma.Schema{Type: huma.TypeString, Format: "binary"}
	}
	op.SkipValidateBody = true
	op.RequestBody = &huma.RequestBody{Required: required, Content: map[string]*huma.MediaType{contentType: {Schema: schema}}}
	if contentType == "application/wasm" { // the only type for bytes that client generators know
		op.RequestBody.Content["application/octet-stream"] = op.RequestBody.Content[contentType]
	}
	return op
}
