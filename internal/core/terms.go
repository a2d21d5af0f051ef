package core

import (
	"time"
)

// Terms is what the operator currently declares for a call.
type Terms struct {
	Retry   time.Duration // how long the engine retries the call by itself; 0 for not at all
	RetryBy string        // who declares it: "host api.example.com", "module shop", "server"
	Within  time.Duration // how long its server honours an idempotency key; 0 for not at all
	KeyBy   string        // who declares it: "host api.example.com", "the module"
}
