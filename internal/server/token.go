package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/flawless-engine/flawless"
)

// open is what asks for no token: what and how the server is, and promises, whose own token is the right to
// settle them.
var open = []string{"GET /{$}", "GET /api/v1/health", "POST /api/v1/promises/{token}", "POST /api/v1/promises/{token}/reject"}

// theirs is where flawless.dev's operations are, whose refusals are {"error": text}.
var theirs = []string{"/api/module/", "/api/workflow/", "/workflow/"}

// Require lets nobody in who does not send the token (RFC 6750: Authorization: Bearer TOKEN), except
// to what is open to all. With "" it returns next. A request that is refused is not read.
func Require(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token)) // of one length, whatever is sent
	refuse := refusing(`Bearer realm="flawless"`, "this server requires a bearer token, and the request has none")
	another := refusing(`Bearer realm="flawless", error="invalid_token"`, "the bearer token is wrong")
	mux := http.NewServeMux()
	for _, pattern := range open {
		mux.Handle(pattern, next)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(sent)))
		switch {
		case !strings.EqualFold(scheme, "Bearer"):
			refuse.ServeHTTP(w, r)
		case subtle.ConstantTimeCompare(got[:], want[:]) != 1:
			another.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
	return mux
}

// refusing answers every request with status 401.
func refusing(challenge, why string) http.Handler {
	const hint = ": send the token of the server as Authorization: Bearer TOKEN, or with the command line in $FLAWLESS_TOKEN or --token-file"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", challenge)
		deny(w, r, http.StatusUnauthorized, why+hint)
	})
}

// deny answers a request that does not come as far as the API, in the form of the API it was for.
func deny(w http.ResponseWriter, r *http.Request, status int, why string) {
	write(w, r, newProblem(status, flawless.Denied, why))
}
