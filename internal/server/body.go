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
)

// Every body of a request comes in through readBody, into memory that is made for it and that nobody
// takes back. The framework is handed a copy: it reads into buffers that it lends to one request after
// the other, so nothing may be kept of what it calls RawBody. Handlers that want the bytes of a body
// embed Payload instead.

// readBody reads a body of at most limit bytes. The bytes are the caller's to keep.
func readBody(body io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	switch {
	case err != nil:
		return nil, unread(err)
	case int64(len(b)) > limit:
		return nil, oversized(limit)
	}
	return b, nil
}

// unread says why a body could not be read.
func unread(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	case errors.As(err, &large):
		return oversized(large.Limit)
	}
	return fmt.Errorf("reading the body of the request: %v: %w", err, flawless.Invalid)
}

func oversized(limit int64) error {
	return fmt.Errorf("the body of the request is too large: at most %d bytes are allowed: %w", limit, flawless.TooLarge)
}

// errSlow is the refusal of a body that comes too slowly, see [Pace].
var errSlow = fmt.Errorf("the body of the request arrived too slowly, so the server stopped reading it; send it again over a faster connection: %w", flawless.Invalid)

// checkText refuses text that is not UTF-8, which JSON has to be (RFC 8259, section 8.1).
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

// takeBody is the middleware that reads the body of every operation that has one.
func (a *api) takeBody(c huma.Context, next func(huma.Context)) {
	op := c.Operation()
	if op.RequestBody == nil {
		next(c)
		return
	}
	b, err := readBody(c.BodyReader(), op.MaxBodyBytes-1)
	if _, isJSON := op.RequestBody.Content["application/json"]; err == nil && isJSON {
		err = checkText("the body of the request", b)
	}
	if err == nil {
		err = a.filled(op, b)
	}
	if err == nil && op.RequestBody.Required && len(b) == 0 {
		err = fmt.Errorf("the request has no body, but this operation needs one: %w", flawless.Invalid)
	}
	if err != nil {
		a.write(c, nil, false, err)
		return
	}
	next(&bodied{c, b, a.lend})
}

// optionalBodies lets requests leave out a body of which every member may be missing. The framework takes each
// body that is no pointer for one that must be there, whatever its tags say.
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

type humaContext huma.Context // for its name, which does not clash with the method Context

// bodied is a request whose body has been read.
type bodied struct {
	humaContext
	body []byte
	lend func([]byte) io.Reader
}

// Unwrap returns the request as it came.
func (c *bodied) Unwrap() huma.Context { return c.humaContext }

// BodyReader returns the body for the framework to read into memory of its own.
func (c *bodied) BodyReader() io.Reader { return c.lend(c.body) }

// lent is a body that the framework may read.
func lent(b []byte) io.Reader { return bytes.NewReader(b) }

// Payload is the body of a request as it came. The bytes are the handler's to keep.
type Payload struct{ Bytes []byte }

// Resolve implements huma.Resolver.
func (p *Payload) Resolve(c huma.Context) []error {
	p.Bytes = c.(*bodied).body
	return nil
}

// withPayload describes a body that the handler takes as a Payload.
func withPayload(op huma.Operation, contentType string, required bool, schema *huma.Schema) huma.Operation {
	if schema == nil {
		schema = &huma.Schema{Type: huma.TypeString, Format: "binary"}
	}
	op.SkipValidateBody = true
	op.RequestBody = &huma.RequestBody{Required: required, Content: map[string]*huma.MediaType{contentType: {Schema: schema}}}
	if contentType == "application/wasm" { // generators of clients know no other type for bytes
		op.RequestBody.Content["application/octet-stream"] = op.RequestBody.Content[contentType]
	}
	return op
}
