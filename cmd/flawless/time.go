package main

import (
	"fmt"
	"time"
)

// timeFlag is a moment as people write it. It is a flag.
type timeFlag time.Time

func (t *timeFlag) String() string {
	if time.Time(*t).IsZero() {
		return ""
	}
	return time.Time(*t).Format(time.RFC3339)
}

// Set implements pflag.Value. A moment without a zone is one of this machine's clock.
func (t *timeFlag) Set(text string) error {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			*t = timeFlag(at)
			return nil
		}
	}
	return fmt.Errorf("%q is no moment; write it like 2026-03-01, 2026-03-01T06:00 or 2026-03-01T06:00:00Z", text)
}

// Type implements pflag.Value.
func (t *timeFlag) Type() string { return "time" }
