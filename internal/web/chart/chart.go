// Package chart turns counts by minute into the bars of a drawing: how many runs started and how they ended.
//
// It knows geometry and nothing of HTML. Horizontal measures are percentages of the width, so that a drawing fits any screen
// without distorting its texts; vertical ones are pixels. It promises that each run is in exactly one bar.
package chart

import (
	"fmt"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
)

// Height is the height of the bars in pixels, without the labels below them.
const Height = 160

// Chart has all that is drawn.
type Chart struct {
	Bars  []Bar
	Lines []Line // grid, from the bottom
	Ticks []Tick
	Any   bool // something has started or ended
}

// Bar has the counts of one interval of time.
type Bar struct {
	From                     time.Time
	Started                  int64
	Completed, Failed, Other int64
	X, Width                 float64 // of the whole interval
	Parts                    []Part  // from the bottom
	Center, Y                float64 // of the line of started runs
	NextCenter, NextY        float64 // where that line goes on; NextCenter is 0 at the last bar
}

// Part is a piece of a bar.
type Part struct {
	Kind              string // done, failed or other
	X, Width, Y, Tall float64
}

// Line is a line of the grid.
type Line struct {
	Y     float64
	Count int64
}

// Tick is a label of the time axis.
type Tick struct {
	X      float64
	At     time.Time
	Anchor string // as in SVG
}

// New returns the chart of n intervals of a length, of which the last one has now in it. minutes are in order of time.
func New(minutes []flawless.MinuteStats, now time.Time, step time.Duration, n int) Chart {
	first := now.Truncate(step).Add(-time.Duration(n-1) * step).UTC()
	c := Chart{Bars: make([]Bar, n)}
	for i := range c.Bars {
		c.Bars[i].From = first.Add(time.Duration(i) * step)
	}
	highest := int64(0)
	for _, m := range minutes {
		i := int(m.Minute.Sub(first) / step)
		if m.Minute.Before(first) || i >= n {
			continue
		}
		b := &c.Bars[i]
		b.Started += m.Started
		for status, ended := range m.Ended {
			switch status {
			case flawless.Completed:
				b.Completed += ended
			case flawless.Failed:
				b.Failed += ended
			default:
				b.Other += ended
			}
		}
		highest = max(highest, b.Started, b.Completed+b.Failed+b.Other)
	}
	c.Any = highest > 0
	top := scale(highest)
	for i := range 3 {
		if at := top * int64(i) / 2; i == 0 || at*2 == top*int64(i) {
			c.Lines = append(c.Lines, Line{Height - float64(at)/float64(top)*(Height-16), at})
		}
	}
	c.draw(float64(top))
	for i := range 5 {
		t := Tick{At: first.Add(time.Duration(i*n/4) * step), X: float64(25 * i), Anchor: "middle"}
		switch i {
		case 0:
			t.Anchor = "start"
		case 4:
			t.Anchor = "end"
		}
		c.Ticks = append(c.Ticks, t)
	}
	return c
}

// draw places the bars.
func (c *Chart) draw(top float64) {
	width := 100 / float64(len(c.Bars))
	tall := func(count int64) float64 { return float64(count) / top * (Height - 16) }
	for i := range c.Bars {
		b := &c.Bars[i]
		b.X, b.Width = float64(i)*width, width
		b.Center, b.Y = b.X+width/2, Height-tall(b.Started)
		y := float64(Height)
		for _, p := range []struct {
			kind  string
			count int64
		}{{"done", b.Completed}, {"failed", b.Failed}, {"other", b.Other}} {
			if p.count == 0 {
				continue
			}
			part := Part{Kind: p.kind, X: b.X + width*.12, Width: width * .76, Tall: max(1.5, tall(p.count))}
			y -= part.Tall
			part.Y = y
			b.Parts = append(b.Parts, part)
		}
	}
	for i := range len(c.Bars) - 1 {
		c.Bars[i].NextCenter, c.Bars[i].NextY = c.Bars[i+1].Center, c.Bars[i+1].Y
	}
}

// scale returns a round number that is at least n.
func scale(n int64) int64 {
	for ten := int64(1); ; ten *= 10 {
		for _, k := range []int64{2, 4, 6, 10} {
			if k*ten >= n {
				return k * ten
			}
		}
	}
}

// Says returns the counts of a bar in words.
func (b Bar) Says() string {
	parts := []string{fmt.Sprintf("%d started", b.Started), fmt.Sprintf("%d completed", b.Completed)}
	if b.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", b.Failed))
	}
	if b.Other > 0 {
		parts = append(parts, fmt.Sprintf("%d cancelled or terminated", b.Other))
	}
	return strings.Join(parts, ", ")
}
