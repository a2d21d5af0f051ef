package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTypeScriptTypesAreCurrent compares the types of the TypeScript client with /openapi.json.
func TestTypeScriptTypesAreCurrent(t *testing.T) {
	t.Parallel()
	_, api := newAPI(t.Context(), newEngine(t), slog.New(slog.DiscardHandler), http.NewServeMux())
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	var doc struct {
		Components struct{ Schemas map[string]tsSchema }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	want, err := typeScript(doc.Components.Schemas)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "client", "ts", "src", "api.ts")
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
		t.Error("client/ts/src/api.ts is outdated; update it with: make reference")
	}
}

// tsSchema is what the types need of a JSON Schema.
type tsSchema struct {
	Ref         string `json:"$ref"`
	Description string
	Type        any // a name, or a list of names
	Enum        []any
	Items       *tsSchema
	Properties  map[string]*tsSchema
	Additional  json.RawMessage `json:"additionalProperties"` // false, or a schema
	Required    []string
	AnyOf       []*tsSchema
}

// typeScript returns a TypeScript module with a type for each schema.
func typeScript(all map[string]tsSchema) (string, error) {
	var b strings.Builder
	b.WriteString("// Written by make reference: edit the descriptions in internal/server, not this file.\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		text, err := s.typed("")
		if err != nil {
			return "", fmt.Errorf("the schema %s: %w", name, err)
		}
		b.WriteString("\n" + tsDoc("", s.Description))
		if s.Properties != nil {
			fmt.Fprintf(&b, "export interface %s %s\n", name, text)
		} else {
			fmt.Fprintf(&b, "export type %s = %s;\n", name, text)
		}
	}
	return b.String(), nil
}

// typed returns the type that a schema describes. What follows on other lines is indented.
func (s *tsSchema) typed(indent string) (string, error) {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:], nil
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			text, err := json.Marshal(v)
			if err != nil {
				return "", err
			}
			words[i] = string(text)
		}
		return strings.Join(words, " | "), nil
	case len(s.AnyOf) > 0:
		return tsUnion(s.AnyOf, indent)
	}
	var kinds []*tsSchema
	switch t := s.Type.(type) {
	case nil:
		return "unknown", nil
	case []any:
		for _, kind := range t {
			one := *s
			one.Type = kind
			kinds = append(kinds, &one)
		}
		return tsUnion(kinds, indent)
	}
	switch s.Type {
	case "string", "boolean", "null":
		return s.Type.(string), nil
	case "integer", "number":
		return "number", nil
	case "array":
		if s.Items == nil {
			return "unknown[]", nil
		}
		of, err := s.Items.typed(indent)
		if strings.Contains(of, " | ") {
			of = "(" + of + ")"
		}
		return of + "[]", err
	case "object":
		return s.object(indent)
	}
	return "", fmt.Errorf("the type %v is new; add it to typed", s.Type)
}

func tsUnion(of []*tsSchema, indent string) (string, error) {
	var all []string
	for _, s := range of {
		text, err := s.typed(indent)
		if err != nil {
			return "", err
		}
		all = append(all, text)
	}
	return strings.Join(all, " | "), nil
}

var tsName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

func (s *tsSchema) object(indent string) (string, error) {
	if s.Properties == nil {
		var values tsSchema
		if len(s.Additional) > 0 && s.Additional[0] == '{' {
			if err := json.Unmarshal(s.Additional, &values); err != nil {
				return "", err
			}
		}
		text, err := values.typed(indent)
		return "{ [name: string]: " + text + " }", err // api.Record is a record of a log
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		text, err := p.typed(indent + "\t")
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		shown, optional := name, "?"
		if !tsName.MatchString(name) {
			shown = fmt.Sprintf("%q", name)
		}
		if slices.Contains(s.Required, name) {
			optional = ""
		}
		fmt.Fprintf(&b, "%s%s\t%s%s: %s;\n", tsDoc(indent+"\t", p.Description), indent, shown, optional, text)
	}
	b.WriteString(indent + "}")
	return b.String(), nil
}

// tsDoc returns a comment with a text, or "".
func tsDoc(indent, text string) string {
	if text == "" {
		return ""
	}
	return indent + "/** " + strings.ReplaceAll(cmp.Or(strings.Join(strings.Fields(text), " "), "-"), "*/", "* /") + " */\n"
}
