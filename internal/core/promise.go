package core

import (
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/effect"
)

// OpenPromise returns an open promise as people see it.
func OpenPromise(s *State, c *OpenCall) (flawless.Promise, bool) {
	h, err := effect.ParsePromise(c.Call)
	if err != nil {
		return flawless.Promise{}, false
	}
	p := flawless.Promise{Token: flawless.PromiseToken(h.Secret, s.id, c.N), Name: h.Name, Run: s.id, Call: c.N, Made: time.Unix(0, c.madeAt), Schema: h.Schema}
	if h.Expires != 0 {
		at := time.Unix(0, h.Expires)
		p.Expires = &at
	}
	return p, true
}
