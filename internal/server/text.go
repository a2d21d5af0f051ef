package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"unicode/utf8"

	"github.com/flawless-engine/flawless"
)

// text returns v as JSON, with a newline. Guests make part of what is shown, such as their output and
// the fields of their log lines, and the log keeps it as they made it, because a replay compares it.
// JSON has to be UTF-8, so what is not is replaced here, by U+FFFD.
func text(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	if utf8.Valid(b.Bytes()) {
		return b.Bytes(), nil
	}
	return bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD")), nil
}

// writeJSON writes v as text returns it.
func writeJSON(w io.Writer, v any) error {
	b, err := text(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// parse is json.Unmarshal, with errors in the words of the API.
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

// legible refuses requests whose address is not UTF-8: names and notes in it would be kept as they are.
func legible(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkText("the path of the request", []byte(r.URL.Path))
		if query, e := url.QueryUnescape(r.URL.RawQuery); err == nil && e != nil {
			err = fmt.Errorf("the query of the request has invalid percent-encoding: %v: %w", e, flawless.Invalid)
		} else if err == nil {
			err = checkText("the query of the request", []byte(query))
		}
		if err != nil {
			refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
