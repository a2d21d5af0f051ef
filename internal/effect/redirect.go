package effect

import (
	"net/http"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless/internal/effect/transport"
)

// secrets are the headers that are for one origin only.
var secrets = []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Www-Authenticate"}

// redirected returns the request that a response asks for instead, or nil where the response is the
// answer: no redirect, no usable Location, or a request that must not be sent twice.
func (r *request) redirected(a *transport.Reply) *request {
	if !r.Idempotent || !slices.Contains([]int{301, 302, 303, 307, 308}, a.Status) {
		return nil
	}
	location := a.Header.Get("Location")
	if location == "" {
		return nil
	}
	u, err := r.URL.Parse(location)
	if err != nil || settle(u) != "" {
		return nil
	}
	next := *r
	next.URL = u
	if next.Server() != r.Server() {
		next.drop(secrets...)
		next.Host = hostHeader(u)
	}
	if a.Status < 307 {
		next.Body = nil
		if r.Method != http.MethodHead {
			next.Method = http.MethodGet
		}
		next.Fields = slices.DeleteFunc(slices.Clone(next.Fields), func(f transport.Field) bool { return strings.HasPrefix(f.Name, "Content-") })
	}
	return &next
}
