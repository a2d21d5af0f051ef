package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// An empty value usually comes from a variable that is not set. If it counted as missing, promises would break
// silently: two starts with the id "" would be two runs. So empty text is rejected in all members of a body and all
// parameters. A field in which empty text has a meaning, such as no note, has the tag minLength:"0".

func mayBeEmpty(s *huma.Schema) bool { return s.MinLength != nil && *s.MinLength == 0 }

// filled rejects a JSON body with an empty member. It checks only the outermost members, to give a better message;
// the schema has the same rule for all.
func (a *api) filled(op *huma.Operation, body []byte) error {
	content := op.RequestBody.Content["application/json"]
	if content == nil || content.Schema == nil || !bytes.Contains(body, []byte(`""`)) {
		return nil
	}
	schema := content.Schema
	if schema.Ref != "" {
		schema = a.huma.OpenAPI().Components.Schemas.SchemaFromRef(schema.Ref)
	}
	var members map[string]json.RawMessage
	if len(schema.Properties) == 0 || json.Unmarshal(body, &members) != nil {
		return nil // the framework reports it
	}
	for name, value := range members {
		if p := schema.Properties[name]; p != nil && p.Type == huma.TypeString && !mayBeEmpty(p) && string(value) == `""` {
			return empty("member", "body", name)
		}
	}
	return nil
}

// empty returns the problem for an empty value.
func empty(what, in, name string) *reply.Problem {
	p := reply.New(http.StatusBadRequest, flawless.Invalid,
		fmt.Sprintf("the %s %s is empty; give it a value or omit it (is a variable unset?)", what, name))
	p.Errors = []reply.Fault{{Message: "is empty", Location: in + "." + name}}
	return p
}
