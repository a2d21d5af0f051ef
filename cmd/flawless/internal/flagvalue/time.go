package flagvalue

import (
	"fmt"
	"time"
)

// Time is a time, with or without a zone and a time of day.
type Time time.Time

func (t *Time) String() string {
	if time.Time(*t).IsZero() {
		return ""
	}
	return time.Time(*t).Format(time.RFC3339)
}

// Set implements pflag.Value. A time without a zone is in the zone of this machine.
func (t *Time) Set(text string) error {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			*t = Time(at)
			return nil
		}
	}
	return fmt.Errorf("%q is not a time; use a value such as 2026-03-01, 2026-03-01T06:00 or 2026-03-01T06:00:00Z", text)
}

// Type implements pflag.Value.
func (t *Time) Type() string { return "time" }
