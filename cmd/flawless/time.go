package main

import (
	"fmt"
	"strings"
	"time"
)

// ago is a moment as this machine's clock shows it: with its zone, and with the day unless that is today. What
// has a day can be given to flags.
func ago(t time.Time) string { return clock(t, time.Now(), "15:04:05") }

// fine is ago to the millisecond, for what happened at another moment: the day is shown unless it is of that day.
func fine(ns, besides int64) string {
	return clock(time.Unix(0, ns), time.Unix(0, besides), "15:04:05.000")
}

// heading is the day and zone of a moment, to stand once above many lines, and the time within it.
func heading(ns int64) (day, within string) {
	t := time.Unix(0, ns).Local()
	return t.Format(time.DateOnly) + ", UTC" + strings.TrimPrefix(t.Format("-07:00"), "+00:00"), t.Format("15:04:05.000")
}

// clock is how moments become text for people.
func clock(t, today time.Time, layout string) string {
	t, layout = t.Local(), layout+"Z07:00"
	if dayOf(t) != dayOf(today) {
		layout = time.DateOnly + " " + layout
	}
	return t.Format(layout)
}

// dayOf is the day of a moment on this machine.
func dayOf(t time.Time) string { return t.Local().Format(time.DateOnly) }

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
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			*t = timeFlag(at)
			return nil
		}
	}
	return fmt.Errorf("%q is not a time; use a value such as 2026-03-01, 2026-03-01T06:00 or 2026-03-01T06:00:00Z", text)
}

// Type implements pflag.Value.
func (t *timeFlag) Type() string { return "time" }
