package flawless

import "fmt"

// QueueOptions determine when a pending run begins.
type QueueOptions struct {
	// Key is the concurrency key: of all runs with the same key, whatever their module, at most Limit run at once.
	Key   string `json:"key,omitempty" cbor:"1,keyasint,omitempty"`
	Limit int    `json:"limit,omitempty" cbor:"2,keyasint,omitempty"`
	// Priority orders pending runs: higher ones begin first, and of equal ones the oldest.
	Priority int `json:"priority,omitempty" cbor:"3,keyasint,omitempty"`
}

// MaxPriority is the highest priority; the lowest is its negative.
const MaxPriority = 1000

// Check returns nil if the settings are valid, otherwise [Invalid] with the reason. It sets the limit of a key
// without one to 1.
func (q *QueueOptions) Check() error {
	if q.Key != "" && q.Limit == 0 {
		q.Limit = 1
	}
	if q.Key != "" {
		if err := CheckKey("the concurrency key", q.Key); err != nil {
			return err
		}
	}
	switch {
	case q.Key == "" && q.Limit != 0:
		return fmt.Errorf("a limit of %d concurrent runs has no concurrency key; give one, or limit the module (module set --concurrency): %w", q.Limit, Invalid)
	case q.Limit < 0 || q.Limit > MaxConcurrency:
		return fmt.Errorf("the limit of concurrent runs is %d; use 1 to %d: %w", q.Limit, MaxConcurrency, Invalid)
	case q.Priority < -MaxPriority || q.Priority > MaxPriority:
		return fmt.Errorf("the priority is %d; use %d to %d: %w", q.Priority, -MaxPriority, MaxPriority, Invalid)
	}
	return nil
}
