package effect

import (
	"net/http"
	"slices"
	"strings"

	"github.com/flawless-engine/flawless/internal/effect/transport"
)

// originHeaders are the headers that are not sent to another origin.
var originHeaders = []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Www-Authenticate"}

// redirected returns the request that a response redirects to. It returns nil if the response is the answer: it is no
// redirect, has no usable Location, or its request must not be sent twice.
func (r *request) redirected(a *transport.Reply) *request {
	if !r.Idempotent || !slices.Contains([]int{301, 302, 303, 307, 308}, a.Status) {
		return nil
	}
	location := a.Header.Get("Location")
	if location == "" {
		return nil
	}
	u, err := r.URL.Parse(location)
	if err != nil || normalise(u) != "" {
		return nil
	}
	next := *r
	next.URL = u
	if next.Server() != r.Server() {
		next.drop(originHeaders...)
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
