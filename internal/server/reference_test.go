package server

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var writeReference = flag.Bool("write-reference", false, "write docs/reference/http.md")

// TestHTTPReferenceIsCurrent compares docs/reference/http.md with /openapi.json.
func TestHTTPReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	_, api := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	var doc apiDescription
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "reference", "http.md")
	want := doc.page()
	if *writeReference {
		if err := os.WriteFile(file, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/reference/http.md is outdated; update it with: make reference")
	}
}

// apiDescription is the part of an OpenAPI document that the page needs.
type apiDescription struct {
	Paths      map[string]map[string]apiOperation
	Components struct{ Schemas map[string]apiSchema }
}

type apiOperation struct {
	Summary, Description string
	Tags                 []string
	Parameters           []struct {
		Name, In, Description string
		Required              bool
		Schema                apiSchema
	}
	RequestBody *struct {
		Required bool
		Content  map[string]struct{ Schema apiSchema }
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema apiSchema }
	}
}

type apiSchema struct {
	Ref         string `json:"$ref"`
	Description string
	Type        any
	Format      string
	Enum        []any
	Items       *apiSchema
	Properties  map[string]apiSchema
	Required    []string
	AnyOf       []apiSchema
}

// page returns the reference page of all operations.
func (d apiDescription) page() string {
	var b strings.Builder
	b.WriteString("<!-- written by make reference: edit the descriptions in internal/server, not this page -->\n\n# HTTP API\n\n" +
		"A server describes this API at `/openapi.json` (OpenAPI 3.1). [Calling Flawless from your application](../guide/applications.md) shows how to use it, " +
		"and lists the [errors](../guide/applications.md#errors). If the server has a [token](../operate/security.md#token), send `Authorization: Bearer TOKEN`. " +
		"Answers may get new members: ignore those you do not know.\n\n")
	type named struct {
		method, path string
		apiOperation
	}
	groups := map[string][]named{}
	for path, item := range d.Paths {
		for method, o := range item {
			groups[o.Tags[0]] = append(groups[o.Tags[0]], named{strings.ToUpper(method), path, o})
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(&b, "## %s\n\n", strings.ToUpper(tag[:1])+strings.ReplaceAll(tag[1:], "-", " "))
		slices.SortFunc(groups[tag], func(x, y named) int { return strings.Compare(x.path+x.method, y.path+y.method) })
		for _, o := range groups[tag] {
			fmt.Fprintf(&b, "### `%s %s`\n\n%s.", o.method, o.path, o.Summary)
			if o.Description != "" {
				b.WriteString(" " + o.Description)
			}
			b.WriteString("\n\n")
			var rows []string
			for _, p := range o.Parameters {
				text := p.Description
				if text == "" {
					text = p.Schema.Description
				}
				rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", p.Name, p.In, p.Schema.name(), cell(text)))
			}
			if len(rows) > 0 {
				b.WriteString("| parameter | in | type | meaning |\n|---|---|---|---|\n" + strings.Join(rows, "") + "\n")
			}
			if body := o.RequestBody; body != nil {
				var of []string
				for _, kind := range slices.Sorted(maps.Keys(body.Content)) {
					text := "`" + kind + "`"
					if name := body.Content[kind].Schema.name(); strings.Contains(name, "](") {
						text += ": " + name
					}
					of = append(of, text)
				}
				optional := ""
				if !body.Required {
					optional = " (optional)"
				}
				fmt.Fprintf(&b, "Body%s: %s.\n\n", optional, strings.Join(of, " or "))
			}
			for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
				if status >= "300" {
					continue
				}
				r := o.Responses[status]
				var of []string
				for _, kind := range slices.Sorted(maps.Keys(r.Content)) {
					of = append(of, strings.TrimSuffix(fmt.Sprintf("`%s`: %s", kind, r.Content[kind].Schema.name()), ": "))
				}
				text := strings.TrimSuffix(r.Description, ".")
				if text == http.StatusText(200) {
					text = ""
				}
				fmt.Fprintf(&b, "- **%s** %s\n", status, strings.TrimSpace(text+" "+strings.Join(of, " or ")))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("## Objects\n\n")
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[name]
		fmt.Fprintf(&b, "### %s\n\n", name)
		if s.Description != "" {
			b.WriteString(s.Description + "\n\n")
		}
		if len(s.Properties) == 0 {
			fmt.Fprintf(&b, "%s\n\n", s.name())
			continue
		}
		b.WriteString("| member | type | meaning |\n|---|---|---|\n")
		for _, member := range slices.Sorted(maps.Keys(s.Properties)) {
			m := s.Properties[member]
			required := ""
			if slices.Contains(s.Required, member) {
				required = ", always"
			}
			fmt.Fprintf(&b, "| `%s` | %s%s | %s |\n", member, m.name(), required, cell(m.Description))
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// name returns the name of the type of a schema.
func (s apiSchema) name() string {
	switch {
	case s.Ref != "":
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case len(s.Enum) > 0:
		var all []string
		for _, v := range s.Enum {
			if v != nil {
				all = append(all, fmt.Sprintf("`%v`", v))
			}
		}
		return strings.Join(all, ", ")
	case s.Items != nil:
		return "list of " + s.Items.name()
	case len(s.AnyOf) > 0 && s.AnyOf[0].Ref != "":
		return s.AnyOf[0].name()
	}
	kinds := []string{}
	switch t := s.Type.(type) {
	case string:
		kinds = append(kinds, t)
	case []any:
		for _, k := range t {
			if k != "null" {
				kinds = append(kinds, fmt.Sprint(k))
			}
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	if s.Format == "date-time" {
		return "time"
	}
	return strings.Join(kinds, " or ")
}

func cell(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", `\<`, "\n", " ").Replace(text)
}
