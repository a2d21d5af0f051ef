package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// parse is json.Unmarshal with errors in the terms of the API. Into an any it reads numbers that a float64 cannot
// hold, too: what they are for says whether they are allowed.
func parse(text []byte, v any) error {
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

// legible refuses requests whose path or query is not UTF-8, because names and notes in them are stored unchanged.
func legible(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkText("the path of the request", []byte(r.URL.Path))
		if query, e := url.QueryUnescape(r.URL.RawQuery); err == nil && e != nil {
			err = fmt.Errorf("the query of the request has invalid percent-encoding: %v: %w", e, flawless.Invalid)
		} else if err == nil {
			err = checkText("the query of the request", []byte(query))
		}
		if err != nil {
			reply.Refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
