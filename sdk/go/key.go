package flawless

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// HonoursKeys declares, for all runs of the module, that a host honours an Idempotency-Key for some time: within it,
// the engine sends a request whose outcome is unknown again under the same key, see [Idempotent]. Call it in func
// main:
//
//	flawless.HonoursKeys("api.stripe.com", flawless.Within(24*time.Hour))
//
// host has the form that flawless host set takes: api.example.com, or *.example.com for every name below it, either
// with an optional port. The most specific host counts. Options of a call override it, and so does the operator's
// setting for the host, even one that says the host does not honour keys.
//
// HonoursKeys panics if the host is empty or was given before, or if the time is not positive.
func HonoursKeys(host string, within Window) {
	workflows.honour(strings.ToLower(host), time.Duration(within))
}

// hostKey is how long a host honours a key.
type hostKey struct {
	host   string
	within time.Duration
}

func (r *registry) honour(host string, within time.Duration) {
	r.Lock()
	defer r.Unlock()
	switch {
	case strings.TrimSpace(host) == "":
		panic("flawless: HonoursKeys has no host; pass one such as api.example.com")
	case within <= 0:
		panic(fmt.Sprintf("flawless: HonoursKeys for host %q has the time %s; pass a positive time", host, within))
	case slices.ContainsFunc(r.keys, func(k hostKey) bool { return k.host == host }):
		panic(fmt.Sprintf("flawless: HonoursKeys was called twice for host %q", host))
	}
	r.keys = append(r.keys, hostKey{host, within})
}

// appendKeys writes the member "keys" of the manifest.
func appendKeys(b []byte, keys []hostKey) []byte {
	b = append(b, '[')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		o := wire.NewObject(b)
		o.Str("host", k.host)
		o.Int("within_ms", milliseconds(k.within))
		b = o.End()
	}
	return append(b, ']')
}
