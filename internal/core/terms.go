package core

import (
	"time"
)

// Terms is what the operator says of a call, at the moment.
type Terms struct {
	Retry   time.Duration // the engine retries it for so long by itself; 0 is not at all
	RetryBy string        // who says so: "host api.example.com", "module shop", "server"
	Within  time.Duration // its server honours a key for so long; 0 is not at all
	KeyBy   string        // who says so: "host api.example.com", "the module"
}
