package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/flawless-engine/flawless/internal/reply"
)

// open lists the operations that require no token: what the server is, its health, and promises, which have tokens
// of their own.
var open = []string{"GET /{$}", "GET /api/v1/health", "GET /livez", "GET /readyz", "POST /api/v1/promises/{token}", "POST /api/v1/promises/{token}/reject"}

// Require returns a handler that passes on to next only requests with the token (RFC 6750, Authorization: Bearer
// TOKEN) and those for open operations. If token is empty, it returns next. It does not read the body of a request
// that it refuses.
func Require(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token)) // so that both sides of the comparison have the same length
	refuse := refusing(`Bearer realm="flawless"`, "this server requires a bearer token, and the request has none")
	wrong := refusing(`Bearer realm="flawless", error="invalid_token"`, "the bearer token is wrong")
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
			wrong.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
	return mux
}

// refusing returns a handler that answers with status 401.
func refusing(challenge, why string) http.Handler {
	const hint = ": send the token of the server as Authorization: Bearer TOKEN, or with the command line in $FLAWLESS_TOKEN or --token-file"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", challenge)
		reply.Deny(w, r, http.StatusUnauthorized, why+hint)
	})
}
