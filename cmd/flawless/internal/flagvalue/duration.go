package flagvalue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Retention is a duration in milliseconds, written as 90d, 12h, forever (-1) or default (0).
type Retention int64

func (r *Retention) String() string { return "" }

// Set implements pflag.Value.
func (r *Retention) Set(text string) error {
	switch text {
	case "forever":
		*r = -1
		return nil
	case "default":
		*r = 0
		return nil
	}
	if n, ok := strings.CutSuffix(text, "d"); ok {
		d, err := strconv.Atoi(n)
		if err == nil && d > 0 && d <= 36500 {
			*r = Retention(time.Duration(d) * 24 * time.Hour / time.Millisecond)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return fmt.Errorf("%q is not a retention time; use a value such as 90d, 12h, forever or default", text)
	}
	*r = Retention(d.Milliseconds())
	return nil
}

// Type implements pflag.Value.
func (r *Retention) Type() string { return "time" }

// RetryFor is a duration in milliseconds, written as 30s, 12h, 7d, 0, none or default (-1).
type RetryFor int64

func (r *RetryFor) String() string { return "" }

// Set implements pflag.Value.
func (r *RetryFor) Set(text string) error {
	var keep Retention
	switch {
	case text == "default":
		*r = -1
	case text == "0" || text == "none":
		*r = 0
	case text == "forever" || keep.Set(text) != nil:
		return fmt.Errorf("%q is not a duration; use a value such as 30s, 12h, 7d, 0 or default", text)
	default:
		*r = RetryFor(keep)
	}
	return nil
}

// Duration returns the duration, or nil for the default.
func (r RetryFor) Duration() *time.Duration {
	if r < 0 {
		return nil
	}
	return new(time.Duration(r) * time.Millisecond)
}

// Type implements pflag.Value.
func (r *RetryFor) Type() string { return "time" }
