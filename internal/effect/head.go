package effect

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
)

// decode parses the head of a call into v, a pointer to a struct. An error names the member that is wrong.
func decode(c flawless.Call, v any) error {
	if !utf8.Valid(c.Head) {
		return invalid(c.Kind, "the head is not UTF-8")
	}
	err := json.Unmarshal(c.Head, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil && !object(c.Head):
		return invalid(c.Kind, "the head is null, give a JSON object")
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field == "":
		return invalid(c.Kind, "the head is a JSON %s, give a JSON object", wrong.Value)
	case errors.As(err, &wrong):
		return invalid(c.Kind, "member %q is a JSON %s, give %s", wrong.Field, wrong.Value, form(wrong.Type.Kind().String()))
	}
	return invalid(c.Kind, "the head is not JSON: %v", err)
}

func object(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '{'
	}
	return false
}

// form returns the JSON type that a field of a Go kind takes.
func form(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "string":
		return "a string"
	case "slice", "array":
		return "an array"
	case "float64":
		return "a number"
	case "int", "int64":
		return "a whole number of at most 64 bits"
	}
	return "an object"
}

func invalid(kind, format string, args ...any) error {
	return fmt.Errorf("parsing a call of kind %s: %s: %w", kind, fmt.Sprintf(format, args...), flawless.Invalid)
}
