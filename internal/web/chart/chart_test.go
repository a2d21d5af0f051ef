package chart

import (
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
)

var now = time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)

func TestEachRunIsInOneBar(t *testing.T) {
	t.Parallel()
	var minutes []flawless.MinuteStats
	for i := 24 * 60; i >= 0; i-- {
		minutes = append(minutes, flawless.MinuteStats{Minute: now.Truncate(time.Minute).Add(-time.Duration(i) * time.Minute), Started: 1,
			Ended: map[flawless.Status]int64{flawless.Completed: 2, flawless.Failed: 1, flawless.Cancelled: 1, flawless.Terminated: 1}})
	}
	for _, row := range []struct {
		name    string
		step    time.Duration
		n       int
		minutes int64 // that are shown
	}{{"hour", time.Minute, 60, 60}, {"day", 15 * time.Minute, 96, 95*15 + 5}} {
		c := New(minutes, now, row.step, row.n)
		var started, completed, failed, other int64
		for _, b := range c.Bars {
			started, completed, failed, other = started+b.Started, completed+b.Completed, failed+b.Failed, other+b.Other
		}
		if started != row.minutes || completed != 2*row.minutes || failed != row.minutes || other != 2*row.minutes {
			t.Errorf("%s: %d started, %d completed, %d failed, %d others; want %d of each minute", row.name, started, completed, failed, other, row.minutes)
		}
		if last := c.Bars[row.n-1].From; now.Sub(last) >= row.step || last.After(now) {
			t.Errorf("%s: the last bar begins at %v", row.name, last)
		}
	}
}

func TestBarsFitTheDrawing(t *testing.T) {
	t.Parallel()
	for _, count := range []int64{0, 1, 3, 7, 99, 1_234_567} {
		c := New([]flawless.MinuteStats{{Minute: now.Truncate(time.Minute), Started: count / 2, Ended: map[flawless.Status]int64{flawless.Completed: count, flawless.Failed: min(count, 1)}}}, now, time.Minute, 60)
		for _, b := range c.Bars {
			if b.Y < 0 || b.Y > Height || b.X < 0 || b.X+b.Width > 100.001 {
				t.Errorf("%d runs: a bar is at %+v", count, b)
			}
			for _, p := range b.Parts {
				if p.Y < 0 || p.Y+p.Tall > Height+.001 {
					t.Errorf("%d runs: a part is at %+v", count, p)
				}
			}
		}
		if c.Any != (count > 0) {
			t.Errorf("%d runs: anything is %v", count, c.Any)
		}
		if top := c.Lines[len(c.Lines)-1]; top.Count < count || top.Y < 0 {
			t.Errorf("%d runs: the highest line is %+v", count, top)
		}
	}
}

func TestBarSaysItsCounts(t *testing.T) {
	t.Parallel()
	for want, b := range map[string]Bar{
		"0 started, 0 completed":                                      {},
		"3 started, 2 completed, 1 failed":                            {Started: 3, Completed: 2, Failed: 1},
		"0 started, 0 completed, 4 failed, 1 cancelled or terminated": {Failed: 4, Other: 1},
	} {
		if got := b.Says(); got != want {
			t.Errorf("%+v says %q, want %q", b, got, want)
		}
	}
}
