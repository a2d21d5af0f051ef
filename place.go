package flawless

import "fmt"

// Place determines when a pending run begins.
type Place struct {
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
func (p *Place) Check() error {
	if p.Key != "" && p.Limit == 0 {
		p.Limit = 1
	}
	if p.Key != "" {
		if err := CheckKey("the concurrency key", p.Key); err != nil {
			return err
		}
	}
	switch {
	case p.Key == "" && p.Limit != 0:
		return fmt.Errorf("a limit of %d concurrent runs has no concurrency key; give one, or limit the module (module set --concurrency): %w", p.Limit, Invalid)
	case p.Limit < 0 || p.Limit > MaxConcurrency:
		return fmt.Errorf("the limit of concurrent runs is %d; use 1 to %d: %w", p.Limit, MaxConcurrency, Invalid)
	case p.Priority < -MaxPriority || p.Priority > MaxPriority:
		return fmt.Errorf("the priority is %d; use %d to %d: %w", p.Priority, -MaxPriority, MaxPriority, Invalid)
	}
	return nil
}
