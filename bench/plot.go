package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Size of a plot in pixels.
const (
	width, height            = 640, 360
	left, right, top, bottom = 70, 20, 50, 50
)

// colour returns line colours that can also be distinguished in grey.
func colour(n int) string { return [...]string{"#0b5fa5", "#d1495b", "#66a182", "#8d6a9f"}[n%4] }

// axis maps values to pixels logarithmically.
type axis struct{ from, to, start, end float64 }

// newAxis returns an axis that covers the values and ends at powers of ten.
func newAxis(low, high, start, end float64) axis {
	if low <= 0 {
		low = 1
	}
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(max(high, low)))
	if to == from {
		to++
	}
	return axis{from, to, start, end}
}

func (a axis) at(v float64) float64 {
	return a.start + (math.Log10(max(v, math.Pow(10, a.from)))-a.from)/(a.to-a.from)*(a.end-a.start)
}

// svg draws a plot with two logarithmic axes.
func (p plot) svg() string {
	x, y := p.axes()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text := func(x, y float64, anchor, more, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(s))
	}
	text(width/2, 20, "middle", ` font-size="14" font-weight="bold"`, p.Title)
	for e := x.from; e <= x.to; e++ {
		at := x.at(math.Pow(10, e))
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", at, top, at, height-bottom)
		text(at, height-bottom+16, "middle", "", thousands(math.Pow(10, e)))
	}
	for e := y.from; e <= y.to; e++ {
		at := y.at(math.Pow(10, e))
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", left, at, width-right, at)
		text(left-6, at+4, "end", "", power(e))
	}
	text((left+width-right)/2, height-12, "middle", "", p.X)
	text(16, (top+height-bottom)/2, "middle", fmt.Sprintf(` transform="rotate(-90 16 %d)"`, (top+height-bottom)/2), p.Y)
	for n, l := range p.Lines {
		b.WriteString(l.svg(x, y, colour(n)))
		text(left+8, float64(top+14+15*n), "start", fmt.Sprintf(` fill="%s"`, colour(n)), l.Name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// power formats a power of ten.
func power(e float64) string {
	if e < 0 {
		return fmt.Sprintf("%.*f", int(-e), math.Pow(10, e))
	}
	return thousands(math.Pow(10, e))
}

func (p plot) axes() (x, y axis) {
	low, high := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{}
	for _, l := range p.Lines {
		for _, at := range l.Points {
			for k := range at {
				low[k], high[k] = min(low[k], at[k]), max(high[k], at[k])
			}
		}
	}
	for k := range low {
		if math.IsInf(low[k], 1) {
			low[k], high[k] = 1, 10
		}
	}
	return newAxis(low[0], high[0], left, width-right), newAxis(low[1], high[1], height-bottom, top)
}

// svg draws one line with its points and their values.
func (l line) svg(x, y axis, colour string) string {
	var b, path strings.Builder
	for _, p := range l.Points {
		px, py := x.at(p[0]), y.at(p[1])
		fmt.Fprintf(&path, "%.1f,%.1f ", px, py)
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s: %s</title></circle>`+"\n", px, py, colour, thousands(p[0]), number(p[1]))
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="10" fill="%s">%s</text>`+"\n", px, py-8, colour, number(p[1]))
	}
	return fmt.Sprintf(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.TrimSpace(path.String()), colour) + b.String()
}
