package reply

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Parse is json.Unmarshal with errors in the terms of the API. Into an any it reads numbers that a float64 cannot
// hold, too: what they are for says whether they are allowed.
func Parse(text []byte, v any) error {
	err := json.Unmarshal(text, v)
	wrong := new(json.UnmarshalTypeError)
	if !errors.As(err, &wrong) {
		return err
	}
	if out, is := v.(*any); is {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(out); err != nil {
			return err
		}
		*out = rounded(*out)
		return nil
	}
	want := map[reflect.Kind]string{reflect.Int: "a whole number", reflect.Int64: "a whole number", reflect.String: "a string", reflect.Bool: "true or false"}[wrong.Type.Kind()]
	if want == "" {
		want = "something else"
	}
	return fmt.Errorf("member %s is the JSON %.60s, but must be %s", wrong.Field, wrong.Value, want)
}

// rounded returns a value with its numbers as float64, which is infinite where they are too large.
func rounded(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case map[string]any:
		for name, part := range v {
			v[name] = rounded(part)
		}
	case []any:
		for i, part := range v {
			v[i] = rounded(part)
		}
	}
	return v
}
