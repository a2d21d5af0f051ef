package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
)

// A value that is given but empty usually comes from a variable that was never set. Taken for "none" it would
// break promises silently: two starts with the id "" would be two runs. So empty text is refused in every
// member of a body and in every parameter. Where empty text has a meaning, such as no note, the field says so
// with the tag minLength:"0".

func mayBeEmpty(s *huma.Schema) bool { return s.MinLength != nil && *s.MinLength == 0 }

// filled refuses a JSON body with an empty member. It looks at the outermost members, for the sake of a good
// message; the schema has the same rule for all.
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
		return nil // the framework says what is wrong
	}
	for name, value := range members {
		if p := schema.Properties[name]; p != nil && p.Type == huma.TypeString && !mayBeEmpty(p) && string(value) == `""` {
			return empty("member", "body", name)
		}
	}
	return nil
}

// empty is the refusal of an empty value.
func empty(what, in, name string) *Problem {
	p := newProblem(http.StatusBadRequest, flawless.Invalid,
		fmt.Sprintf("the %s %s is empty; give it a value or omit it (is a variable unset?)", what, name))
	p.Errors = []Fault{{Message: "is empty", Location: in + "." + name}}
	return p
}
