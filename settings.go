package flawless

import (
	"fmt"
	"time"
)

// DefaultRetention is how long an ended run is kept unless its module has a setting.
const DefaultRetention = 30 * 24 * time.Hour

// MaxRetention is the maximum time for which an ended run is kept, unless it is kept forever.
const MaxRetention = 100 * 365 * 24 * time.Hour

// MaxKeepTurns is the highest minimum number of turns to keep.
const MaxKeepTurns = 1_000_000_000

// Settings are the settings for the runs of a module, whatever its version.
type Settings struct {
	Module string `json:"module" cbor:"1,keyasint"`
	// RetentionMS is how long a run is kept after its end, in milliseconds; 0 means DefaultRetention, -1 forever.
	RetentionMS int64 `json:"retention_ms" cbor:"2,keyasint,omitempty"`
	// Concurrency is how many runs may be in progress; further ones are pending. 0 means unlimited.
	Concurrency int `json:"concurrency" cbor:"3,keyasint,omitempty"`
	// KeepTurns is the minimum number of turns of a log to keep: older ones may be removed when an image of the run
	// is made. 0 means all.
	KeepTurns int `json:"keep_turns" cbor:"4,keyasint,omitempty"`
	// RetryForMS is how long the engine retries failed calls of these runs, in milliseconds; 0 means no retries, nil the
	// setting of the server. The setting of a host overrides it.
	RetryForMS *int64 `json:"retry_for_ms,omitempty" cbor:"5,keyasint,omitempty"`
}

// MaxConcurrency is the highest limit of concurrent runs.
const MaxConcurrency = 1_000_000

// Retention returns how long a run is kept after its end, and false if it is kept forever.
func (s *Settings) Retention() (time.Duration, bool) {
	switch {
	case s.RetentionMS < 0:
		return 0, false
	case s.RetentionMS == 0:
		return DefaultRetention, true
	}
	return time.Duration(s.RetentionMS) * time.Millisecond, true
}

// Check returns nil if the settings are valid, otherwise [Invalid] with the reason.
func (s *Settings) Check() error {
	switch {
	case s.RetentionMS < -1 || s.RetentionMS > MaxRetention.Milliseconds():
		return fmt.Errorf("the retention is %d ms; use at most 100 years, -1 for no limit, or 0 for the default: %w", s.RetentionMS, Invalid)
	case s.Concurrency < 0 || s.Concurrency > MaxConcurrency:
		return fmt.Errorf("the limit of concurrent runs is %d; use 1 to %d, or 0 for no limit: %w", s.Concurrency, MaxConcurrency, Invalid)
	case s.KeepTurns < 0 || s.KeepTurns > MaxKeepTurns:
		return fmt.Errorf("the number of turns to keep is %d; use 1 to %d, or 0 for all: %w", s.KeepTurns, MaxKeepTurns, Invalid)
	}
	return checkRetryFor(s.RetryForMS)
}
