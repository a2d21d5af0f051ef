package server

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// The description of the API, /openapi.json, must match what is sent, because clients are generated from it. The
// framework derives most of it from types. This file adds the rest: the refusals of an operation, the values of
// enumerations, and that answers may get new members.

// refusals lists the statuses of refusals, what each means, and which operations have it.
var refusals = []struct {
	status int
	means  string
	here   func(o *huma.Operation) bool
}{
	{http.StatusBadRequest, "The request is malformed.", always},
	{http.StatusUnauthorized, "The token is missing or wrong.", always},
	{http.StatusForbidden, "The request comes from a web page of another origin.", always},
	{http.StatusNotFound, "The resource does not exist.", namesSomething},
	{http.StatusRequestTimeout, "The body arrived too slowly.", hasBody},
	{http.StatusConflict, "The request conflicts with the state of the resource.", namesSomething},
	{http.StatusRequestEntityTooLarge, "The request exceeds a limit.", namesSomething},
	{http.StatusUnsupportedMediaType, "The content type of the body is not supported by this operation.", hasBody},
	{http.StatusMisdirectedRequest, "The server does not accept requests for this host name, or another server owns what the request is for.", always},
	{http.StatusUnprocessableEntity, "Parameters or body do not match their schema, or the engine refuses the request.", hasInput},
	{http.StatusInternalServerError, "Stored data is damaged, or the server has a bug.", always},
	{http.StatusBadGateway, "Another server owns what the request is for, and the connection to it broke: the request may have been carried out.", writes},
	{http.StatusServiceUnavailable, "The server is not accepting requests. Try again later.", always},
	{http.StatusInsufficientStorage, "The disk is full.", writes},
}

func always(*huma.Operation) bool { return true }

func hasBody(o *huma.Operation) bool { return o.RequestBody != nil }

func hasInput(o *huma.Operation) bool { return hasBody(o) || len(o.Parameters) > 0 }

func writes(o *huma.Operation) bool { return o.Method != http.MethodGet }

func namesSomething(o *huma.Operation) bool { return hasBody(o) || strings.Contains(o.Path, "{") }

// describe completes the description. It is called when all operations are registered.
func (a *api) describe() {
	doc := a.huma.OpenAPI()
	all := doc.Components.Schemas
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // of the framework, see asProblem
		delete(all.Map(), unused)
	}
	refused := &huma.MediaType{Schema: all.Schema(typeOf[reply.Problem](), true, "Problem")}
	answers, bodies := visitor{registry: all, each: allowNewMembers}, visitor{registry: all, each: nullable(all)}
	for _, item := range doc.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if o == nil {
				continue
			}
			delete(o.Responses, "default")
			for _, r := range refusals {
				if !r.here(o) {
					continue
				}
				code := strconv.Itoa(r.status)
				if o.Responses[code] == nil {
					o.Responses[code] = &huma.Response{Description: r.means, Content: map[string]*huma.MediaType{}}
				}
				o.Responses[code].Content["application/problem+json"] = refused
			}
			for _, p := range o.Parameters {
				if p.In == "query" && p.Schema.Type == huma.TypeString && !mayBeEmpty(p.Schema) {
					p.Schema.MinLength = new(1)
				}
			}
			if o.RequestBody != nil {
				for _, m := range o.RequestBody.Content {
					bodies.visit(m.Schema)
				}
			}
			for _, r := range o.Responses {
				for _, m := range r.Content {
					answers.visit(m.Schema)
				}
			}
		}
	}
}

// allowNewMembers allows additional members in an answer, as later versions may have. A list in an answer is never null, see
// redact.Shown.
func allowNewMembers(s *huma.Schema) {
	if closed, is := s.AdditionalProperties.(bool); is && !closed {
		s.AdditionalProperties = nil
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
}

// nullable allows null for optional members of a request, which is the same as omitting them, and describes that
// text is not empty, see checkMembers.
func nullable(all huma.Registry) func(*huma.Schema) {
	return func(s *huma.Schema) {
		for name, p := range s.Properties {
			if p.Type == huma.TypeString && !mayBeEmpty(p) {
				p.MinLength = new(1)
				p.PrecomputeMessages()
			}
			if slices.Contains(s.Required, name) {
				continue
			}
			if p.Ref != "" {
				if target := all.SchemaFromRef(p.Ref); target.Enum != nil {
					own := *target
					own.Enum = append(slices.Clone(target.Enum), nil)
					p, s.Properties[name] = &own, &own
				}
			}
			p.Nullable = p.Type != "" && p.Ref == ""
		}
	}
}

// visitor calls each once for every schema that it reaches.
type visitor struct {
	registry huma.Registry
	each     func(*huma.Schema)
	seen     map[*huma.Schema]bool
}

func (v *visitor) visit(s *huma.Schema) {
	if s == nil || v.seen[s] {
		return
	}
	if v.seen == nil {
		v.seen = map[*huma.Schema]bool{}
	}
	v.seen[s] = true
	v.each(s)
	if s.Ref != "" {
		v.visit(v.registry.SchemaFromRef(s.Ref))
	}
	more, _ := s.AdditionalProperties.(*huma.Schema)
	content, _ := s.Extensions["contentSchema"].(*huma.Schema)
	parts := append([]*huma.Schema{s.Items, more, s.Not, content}, slices.Collect(maps.Values(s.Properties))...)
	for _, p := range slices.Concat(parts, s.OneOf, s.AnyOf, s.AllOf) {
		v.visit(p)
	}
}

// Types whose values the description lists.
type (
	wordStatus      string
	wordOverlap     string
	wordResolution  string
	wordVerdict     string
	wordInitialised string
)

func (wordStatus) Schema(r huma.Registry) *huma.Schema {
	return words(r, "Status", "Status of a run", flawless.Statuses...)
}

func (wordOverlap) Schema(r huma.Registry) *huma.Schema {
	return words(r, "Overlap", "What a schedule does if the previous run is still open", flawless.Overlaps...)
}

func (wordResolution) Schema(r huma.Registry) *huma.Schema {
	return words(r, "Resolution", "A decision about a call whose outcome is unknown. Logs also contain give-up, which ends the retries of a call", flawless.Retry, flawless.Respond, flawless.Tell, flawless.Fail, flawless.GiveUp)
}

func (wordVerdict) Schema(r huma.Registry) *huma.Schema {
	return words(r, "Verdict", "Whether a run can continue with other code", flawless.Continues, flawless.Diverges, flawless.Undecided)
}

func (wordInitialised) Schema(r huma.Registry) *huma.Schema {
	return words(r, "Initialised", "How often a module is initialised", flawless.Once, flawless.PerRun)
}

// words describes a named type with these values.
func words[T ~string](r huma.Registry, name, description string, values ...T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Description: description}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	s.PrecomputeMessages()
	r.Map()[name] = s
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// anyBytes describes flawless.Bytes.
type anyBytes string

func (anyBytes) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Description: "Text as a string, other bytes in base64", AnyOf: []*huma.Schema{
		{Type: huma.TypeString},
		{Type: huma.TypeObject, Required: []string{"base64"}, AdditionalProperties: false,
			Properties: map[string]*huma.Schema{"base64": {Type: huma.TypeString, ContentEncoding: "base64", MinLength: new(0)}}},
	}}
}

// described maps types to those that describe them.
var described = []struct{ t, as reflect.Type }{
	{typeOf[flawless.Status](), typeOf[wordStatus]()},
	{typeOf[flawless.Overlap](), typeOf[wordOverlap]()},
	{typeOf[flawless.Resolution](), typeOf[wordResolution]()},
	{typeOf[flawless.Verdict](), typeOf[wordVerdict]()},
	{typeOf[flawless.Initialised](), typeOf[wordInitialised]()},
	{typeOf[flawless.Bytes](), typeOf[anyBytes]()},
}

// eventsOf describes a stream of server-sent events by the schema of one event. OpenAPI 3.1 has no form for streams;
// tools that support them apply the schema to each event. As in OpenAPI 3.2, data is a string that contains JSON,
// whose schema is contentSchema.
func (a *api) eventsOf(kinds ...eventKind) *huma.MediaType {
	one := &huma.Schema{Description: "One event of the stream"}
	for _, k := range append(kinds, eventKind{"problem", typeOf[reply.Problem]()}) {
		content := a.huma.OpenAPI().Components.Schemas.Schema(k.data, true, k.name)
		one.AnyOf = append(one.AnyOf, &huma.Schema{
			Type: huma.TypeObject, Title: "Event " + k.name, Required: []string{"event", "data"},
			Properties: map[string]*huma.Schema{
				"event": {Type: huma.TypeString, Enum: []any{k.name}},
				"data":  {Type: huma.TypeString, Extensions: map[string]any{"contentMediaType": "application/json", "contentSchema": content}},
				"id":    {Type: huma.TypeString},
			}})
	}
	return &huma.MediaType{Schema: one}
}

// eventKind is a kind of server-sent event.
type eventKind struct {
	name string
	data reflect.Type
}

// answered describes an answer that an operation writes by itself.
func (a *api) answered(description string, kind reflect.Type, events ...eventKind) *huma.Response {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(kind, true, kind.Name())
	content := map[string]*huma.MediaType{"application/json": {Schema: schema}}
	if len(events) > 0 {
		content["text/event-stream"] = a.eventsOf(append(events, eventKind{"result", kind})...)
	}
	return &huma.Response{Description: description, Content: content}
}
