package flawless

import "fmt"

// Place says where a run queues before it begins.
type Place struct {
	// Key is shared by the runs of which only Limit may be under way at once, whatever their module.
	Key   string `json:"key,omitempty" cbor:"1,keyasint,omitempty"`
	Limit int    `json:"limit,omitempty" cbor:"2,keyasint,omitempty"`
	// Priority lets a run begin before those of lower priority; of equals the oldest begins first.
	Priority int `json:"priority,omitempty" cbor:"3,keyasint,omitempty"`
}

// MaxPriority is the highest priority; the lowest is its negative.
const MaxPriority = 1000

// Check returns nil where a run can have this place, or [Invalid] with the reason. A key without a
// limit has the limit 1 afterwards.
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
