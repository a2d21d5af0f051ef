package render

import (
	"strings"
	"time"
)

// Time formats a time in the zone of this machine. The date is left out if it is today. With a date, flags
// accept the text again.
func Time(t time.Time) string { return clock(t, time.Now(), "15:04:05") }

// OptionalTime formats a time, or a dash if there is none.
func OptionalTime(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return Time(*t)
}

// precise formats a time to the millisecond, next to a reference time: the date is left out if it is the same.
func precise(ns, reference int64) string {
	return clock(time.Unix(0, ns), time.Unix(0, reference), "15:04:05.000")
}

// heading formats a time in two parts: date and zone, for a line above the entries of a day, and the time.
func heading(ns int64) (day, within string) {
	t := time.Unix(0, ns).Local()
	return t.Format(time.DateOnly) + ", UTC" + strings.TrimPrefix(t.Format("-07:00"), "+00:00"), t.Format("15:04:05.000")
}

// clock formats a time in the zone of this machine, with the date unless it is the same as that of today.
func clock(t, today time.Time, layout string) string {
	t, layout = t.Local(), layout+"Z07:00"
	if dayOf(t) != dayOf(today) {
		layout = time.DateOnly + " " + layout
	}
	return t.Format(layout)
}

// dayOf returns the date of a time in the zone of this machine.
func dayOf(t time.Time) string { return t.Local().Format(time.DateOnly) }
