package server

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// Requests must declare the type of their body. A browser sends a body without a type, or with one of the types of a
// form, to any server without asking; with the types that operations accept, it asks the server first.

// typed is the middleware that rejects bodies of a type that the operation does not accept.
func (a *api) typed(c huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(c)
	if body := c.Operation().RequestBody; body != nil {
		takes := make([]string, 0, len(body.Content))
		for kind := range body.Content {
			takes = append(takes, kind)
		}
		if why := mistyped(r, takes...); why != "" {
			_ = huma.WriteErr(a.huma, c, http.StatusUnsupportedMediaType, why)
			return
		}
		// Types are case-insensitive (RFC 9110, section 8.3.1), but the decoder only knows lower case.
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil {
			r.Header.Set("Content-Type", kind)
		}
	}
	next(c)
}

// mistyped returns why the type of a body is not accepted, or "" if it is or there is no body.
func mistyped(r *http.Request, takes ...string) string {
	if r.ContentLength == 0 {
		return ""
	}
	text := r.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(text)
	for _, t := range takes {
		switch {
		case err != nil:
		case kind == t, t == "application/json" && strings.HasSuffix(kind, "+json"):
			return ""
		}
	}
	slices.Sort(takes)
	if text == "" {
		return "the body has no content type: send the header Content-Type: " + strings.Join(takes, " or ")
	}
	return fmt.Sprintf("the content type of the body is %.100q: use %s", text, strings.Join(takes, " or "))
}

// needJSON rejects bodies that are not JSON, for flawless.dev's operations.
func needJSON(r *http.Request) error {
	if why := mistyped(r, "application/json"); why != "" {
		return reply.New(http.StatusUnsupportedMediaType, flawless.Invalid, why)
	}
	return nil
}
