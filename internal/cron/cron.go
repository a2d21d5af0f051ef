// Package cron tells at which moments a cron expression comes due in a time zone.
//
// It hides the syntax of the expressions and the jumps of clocks. It guarantees that a time of the
// clock that occurs twice comes due once, the first time, and that one which does not exist comes due
// at the moment at which the clock jumps over it. It never reads a clock.
package cron

import (
	"errors"
	"fmt"
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

// Parse understands an expression: minute, hour, day of the month, month and day of the week, seconds
// before and a year behind them if need be, or a word such as @daily. The zone is a name such as
// Europe/Berlin; "" is UTC. Errors are [flawless.Invalid]; one is an expression that has no time in
// the coming years.
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
	segments, err := gronx.Segments(text)
	if err == nil {
		_, err = gronx.New().IsDue(text, time.Unix(0, 0))
	}
	if err == nil && !gronx.IsValid(text) {
		err = errors.New("a field is out of range")
	}
	if err != nil {
		return Expression{}, fmt.Errorf("the cron expression %.200q is invalid (%v); use minute, hour, day, month and weekday, such as \"0 9 * * MON-FRI\": %w", text, err, flawless.Invalid)
	}
	return Expression{text: strings.Join(segments, " "), zone: loc}, nil
}

// Next returns the first moment after a given one, and false where there is none: a year that is
// over, the 31st of February.
func (e Expression) Next(after time.Time) (time.Time, bool) {
	at := e.wall(after)
	for {
		tick, err := gronx.NextTickAfter(e.text, at, false)
		if err != nil || !tick.After(at) {
			return time.Time{}, false
		}
		// In the hour that clocks go through for the second time, what they show has been before.
		if moment := e.moment(tick); moment.After(after) {
			return moment, true
		}
		at = tick
	}
}

// wall is what the clock of the zone shows at a moment, written as if it were UTC.
func (e Expression) wall(t time.Time) time.Time {
	_, offset := t.In(e.zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// moment is when the clock of the zone first shows wall, or jumps over it.
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

// seen is the moment at which the clock would show wall if it were set as it is a day before or after.
func (e Expression) seen(wall time.Time, away time.Duration) time.Time {
	_, offset := wall.Add(away).In(e.zone).Zone()
	return wall.Add(-time.Duration(offset) * time.Second)
}
