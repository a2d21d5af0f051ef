package server

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/reply"
)

// validURL refuses requests whose path or query is not UTF-8, because names and notes in them are stored unchanged.
func validURL(next http.Handler) http.Handler {
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
