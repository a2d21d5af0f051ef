package server

import (
	"log/slog"
	"net/http"
	"regexp"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// unclear matches phrases that the description must not use in place of the standard terms.
var unclear = regexp.MustCompile(`(?i)whoever|whatever|nobody can know|in doubt|its place|at hand|towards|where it is missing|under way|so many|asked for`)

// TestEveryOperationIsDescribed: operations have a summary and parameters a description, in the standard terms.
func TestEveryOperationIsDescribed(t *testing.T) {
	t.Parallel()
	a, _ := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	check := func(where, text string, needed bool) {
		if needed && text == "" {
			t.Errorf("%s has no description", where)
		}
		if found := unclear.FindString(text); found != "" {
			t.Errorf("%s says %q in %q", where, found, text)
		}
	}
	doc := a.huma.OpenAPI()
	for path, item := range doc.Paths {
		for method, o := range map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete} {
			if o == nil {
				continue
			}
			check(method+" "+path, o.Summary, true)
			check(method+" "+path, o.Description, false)
			for _, p := range o.Parameters {
				check(method+" "+path+" "+p.Name, p.Description, true)
			}
			for status, r := range o.Responses {
				check(method+" "+path+" "+status, r.Description, true)
			}
		}
	}
	for name, s := range doc.Components.Schemas.Map() {
		check(name, s.Description, false)
		for member, p := range s.Properties {
			check(name+"."+member, p.Description, false)
		}
	}
}
