package flawless

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flawless-engine/flawless/sdk/go/internal/wire"
)

// HonoursKeys says, for all runs of the module, that a host honours the Idempotency-Key of a request for some
// time: within it a request whose outcome is unknown is sent again under the same key, see [Idempotent]. It is
// called in func main of a guest:
//
//	flawless.HonoursKeys("api.stripe.com", flawless.Within(24*time.Hour))
//
// host is as in flawless host set: api.example.com, or *.example.com for every name below it, or either with a
// port; the most specific one counts. What a call says counts more, and so does what the operator has set for the
// host, also that it does not honour keys.
//
// A host that is empty or was given before, and a time that is not above zero, make HonoursKeys panic.
func HonoursKeys(host string, within Window) {
	workflows.honour(strings.ToLower(host), time.Duration(within))
}

// hostKey is for how long a host honours a key.
type hostKey struct {
	host   string
	within time.Duration
}

func (r *registry) honour(host string, within time.Duration) {
	r.Lock()
	defer r.Unlock()
	switch {
	case strings.TrimSpace(host) == "":
		panic("flawless: HonoursKeys got no host; give one such as api.example.com")
	case within <= 0:
		panic(fmt.Sprintf("flawless: host %q is said to honour keys for %s; give a time above zero", host, within))
	case slices.ContainsFunc(r.keys, func(k hostKey) bool { return k.host == host }):
		panic(fmt.Sprintf("flawless: HonoursKeys was called twice for host %q", host))
	}
	r.keys = append(r.keys, hostKey{host, within})
}

// appendKeys writes what the manifest says of hosts.
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
