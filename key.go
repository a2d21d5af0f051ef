package flawless

import (
	"fmt"
	"strings"
	"time"
)

// KeyWindow is a module's declaration of how long a server honours an Idempotency-Key. Options of a call and the
// operator's setting for the host override it.
type KeyWindow struct {
	Host     string `json:"host" cbor:"1,keyasint"`      // as in [Host]
	WithinMS int64  `json:"within_ms" cbor:"2,keyasint"` // above 0
}

// Within returns the time as a duration.
func (k *KeyWindow) Within() time.Duration { return time.Duration(k.WithinMS) * time.Millisecond }

// Fits is [Host.Fits].
func (k *KeyWindow) Fits(name, port string) int {
	h := Host{Host: strings.ToLower(k.Host)}
	return h.Fits(name, port)
}

// Check returns nil if the declaration is valid, otherwise [Invalid] with the reason. It changes Host to its
// canonical form.
func (k *KeyWindow) Check() error {
	if k.WithinMS <= 0 {
		return fmt.Errorf("the time for which host %.200q honours a key is %d ms; use 1 ms to 366 days: %w", k.Host, k.WithinMS, Invalid)
	}
	h := Host{Host: k.Host, KeyMS: k.WithinMS}
	err := h.Check()
	k.Host = h.Host
	return err
}
