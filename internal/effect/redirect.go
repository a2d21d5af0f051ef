package effect

import (
	"net/http"
	"slices"
	"strings"
)

// secrets are the headers that are for one origin only.
var secrets = []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Www-Authenticate"}

// redirected returns the request that a response asks for instead, or nil where the response is the
// answer: no redirect, no usable Location, or a request that must not be sent twice.
func (r *request) redirected(a *reply) *request {
	if !r.idempotent || !slices.Contains([]int{301, 302, 303, 307, 308}, a.status) {
		return nil
	}
	location := a.header.Get("Location")
	if location == "" {
		return nil
	}
	u, err := r.url.Parse(location)
	if err != nil || settle(u) != "" {
		return nil
	}
	next := *r
	next.url = u
	if next.key() != r.key() {
		next.drop(secrets...)
		next.host = hostHeader(u)
	}
	if a.status < 307 {
		next.body = nil
		if r.method != http.MethodHead {
			next.method = http.MethodGet
		}
		next.fields = slices.DeleteFunc(slices.Clone(next.fields), func(f field) bool { return strings.HasPrefix(f.name, "Content-") })
	}
	return &next
}
