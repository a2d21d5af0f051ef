// Package cron computes when a cron expression matches in a time zone.
//
// It hides the syntax of expressions and daylight saving time. A local time that occurs twice matches once, at its
// first occurrence. A local time that is skipped matches at the moment of the jump. The package never reads a clock.
package cron

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"github.com/flawless-engine/flawless"
)

// Expression is a cron expression in a time zone. It may be used concurrently.
type Expression struct {
	text string
	zone *time.Location
}

// Parse parses an expression: minute, hour, day of the month, month and day of the week, optionally with seconds in
// front and a year at the end, or a shorthand such as @daily. The zone is a name such as Europe/Berlin; "" is UTC. All
// errors wrap [flawless.Invalid], also the one for an expression that never matches in the coming years.
func Parse(text, zone string) (Expression, error) {
	if zone == "" {
		zone = "UTC"
	}
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return Expression{}, fmt.Errorf("unknown time zone %.100q; use one such as UTC or Europe/Berlin: %w", zone, flawless.Invalid)
	}
	if len(text) > 200 {
		return Expression{}, fmt.Errorf("the cron expression has %d bytes, but at most 200 are allowed: %w", len(text), flawless.Invalid)
	}
	if n := len(strings.Fields(text)); !strings.HasPrefix(text, "@") && (n < 5 || n > 7) {
		return Expression{}, fmt.Errorf("the cron expression %.200q has %d fields, and needs 5 to 7; use minute, hour, day, month and weekday, such as \"0 9 * * MON-FRI\": %w", text, n, flawless.Invalid)
	}
	segments, err := gronx.Segments(text)
	if err == nil {
		_, err = gronx.New().IsDue(text, time.Unix(0, 0))
	}
	if err == nil && !gronx.IsValid(text) {
		err = errors.New("a field is out of range")
	}
	if number := new(strconv.NumError); errors.As(err, &number) {
		err = fmt.Errorf("%q is not a number or name", number.Num)
	}
	if err != nil {
		return Expression{}, fmt.Errorf("the cron expression %.200q is invalid (%v); use minute, hour, day, month and weekday, such as \"0 9 * * MON-FRI\": %w", text, err, flawless.Invalid)
	}
	return Expression{text: strings.Join(segments, " "), zone: loc}, nil
}

// Next returns the first match after a given time. It returns false if there is none, as for a past year or the 31st
// of February.
func (e Expression) Next(after time.Time) (time.Time, bool) {
	at := e.wall(after)
	for {
		tick, err := gronx.NextTickAfter(e.text, at, false)
		if err != nil || !tick.After(at) {
			return time.Time{}, false
		}
		// During the second pass through a repeated hour, the local time has matched before.
		if moment := e.moment(tick); moment.After(after) {
			return moment, true
		}
		at = tick
	}
}

// wall returns the local time of the zone, written as if it were UTC.
func (e Expression) wall(t time.Time) time.Time {
	_, offset := t.In(e.zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// moment returns when the local time is first reached or skipped.
func (e Expression) moment(wall time.Time) time.Time {
	first, second := e.seen(wall, -24*time.Hour), e.seen(wall, 24*time.Hour)
	if second.Before(first) {
		first, second = second, first
	}
	switch {
	case e.wall(first).Equal(wall):
		return first
	case e.wall(second).Equal(wall):
		return second
	}
	_, jump := first.In(e.zone).ZoneBounds()
	return jump.UTC()
}

// seen converts a local time with the UTC offset of a day before or after.
func (e Expression) seen(wall time.Time, away time.Duration) time.Time {
	_, offset := wall.Add(away).In(e.zone).Zone()
	return wall.Add(-time.Duration(offset) * time.Second)
}
