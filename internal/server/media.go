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
)

// Bodies must say what they are. A browser sends a body without a type, or as one of the types of a
// form, to any server without asking it first; what an operation takes it sends only when allowed to.

// typed refuses a body whose type is not one that the operation describes.
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
		// A type is written in any case (RFC 9110, section 8.3.1); what decodes the body knows one.
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil {
			r.Header.Set("Content-Type", kind)
		}
	}
	next(c)
}

// mistyped says why the body of a request is not one of the types, "" where it is or there is none.
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

// needJSON is mistyped for flawless.dev's operations.
func needJSON(r *http.Request) error {
	if why := mistyped(r, "application/json"); why != "" {
		return newProblem(http.StatusUnsupportedMediaType, flawless.Invalid, why)
	}
	return nil
}
