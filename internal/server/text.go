package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// parse is json.Unmarshal with errors in the terms of the API.
func parse(text []byte, v any) error {
	err := json.Unmarshal(text, v)
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
		want := map[reflect.Kind]string{reflect.Int: "a whole number", reflect.Int64: "a whole number", reflect.String: "a string", reflect.Bool: "true or false"}[wrong.Type.Kind()]
		if want == "" {
			want = "something else"
		}
		return fmt.Errorf("member %s is the JSON %s, but must be %s", wrong.Field, wrong.Value, want)
	}
	return err
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
