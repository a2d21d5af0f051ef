package flagvalue

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

// Duration is a duration that is not negative, written as 30s, 12h, 1h30m or 7d.
type Duration time.Duration

// NewDuration returns the value of a flag that sets *d, and sets *d to the default.
func NewDuration(d *time.Duration, byDefault time.Duration) *Duration {
	*d = byDefault
	return (*Duration)(d)
}

func (d *Duration) String() string {
	if *d == 0 {
		return "0" // which the help does not show as a default
	}
	return render.Duration(time.Duration(*d))
}

// Set implements pflag.Value.
func (d *Duration) Set(text string) error {
	t, ok := parse(text)
	if !ok {
		return fmt.Errorf("%q is not a duration; use a value such as 30s, 12h or 7d", text)
	}
	*d = Duration(t)
	return nil
}

// Type implements pflag.Value.
func (d *Duration) Type() string { return "duration" }

// parse reads a duration, which may be a whole number of days, up to 100 years of them.
func parse(text string) (d time.Duration, ok bool) {
	if n, inDays := strings.CutSuffix(text, "d"); inDays {
		days, err := strconv.ParseUint(n, 10, 16)
		return time.Duration(days) * 24 * time.Hour, err == nil && days <= 36500
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

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
	d, ok := parse(text)
	if !ok || d < time.Millisecond {
		return fmt.Errorf("%q is not a retention time; use a value such as 90d, 12h, forever or default", text)
	}
	*r = Retention(d.Milliseconds())
	return nil
}

// Type implements pflag.Value.
func (r *Retention) Type() string { return "duration" }

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
		return fmt.Errorf("%q is not a duration; use a value such as 30s, 12h, 7d, 0, none or default", text)
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
func (r *RetryFor) Type() string { return "duration" }
