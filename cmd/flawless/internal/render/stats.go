package render

import (
	"fmt"
	"io"
	"time"

	"github.com/flawless-engine/flawless"
)

// Stats prints counts of runs.
func Stats(w io.Writer, s flawless.Stats) {
	var modules, reasons [][]string
	for _, m := range s.Modules {
		row := []string{m.Module}
		for _, status := range flawless.Statuses {
			if status != flawless.Running { // it is counted as waiting
				row = append(row, fmt.Sprint(m.Runs[status]))
			}
		}
		modules = append(modules, row)
		for _, x := range m.Reasons {
			reasons = append(reasons, []string{m.Module, string(x.Status), fmt.Sprint(x.Runs), Time(x.Since), Time(x.Last), Shorten(x.Reason, 100)})
		}
	}
	Table(w, "MODULE\tPENDING\tWAITING\tPAUSED\tUNRESOLVED\tCOMPLETED\tFAILED\tCANCELLED\tTERMINATED", modules)
	hour, day := sumSince(s.Minutes, time.Now().Add(-time.Hour)), sumSince(s.Minutes, time.Time{})
	fmt.Fprintf(w, "\nlast hour  %d started, %d ended\nlast day   %d started, %d ended\n", hour.Started, hour.ended(), day.Started, day.ended())
	if u := s.Unresolved; u != nil && u.Oldest != "" {
		fmt.Fprintf(w, "oldest     run %s is unresolved since %s\n", u.Oldest, Time(u.Since))
	}
	if len(reasons) > 0 {
		fmt.Fprintln(w)
		Table(w, "MODULE\tSTATUS\tRUNS\tSINCE\tLAST\tREASON", reasons)
	}
}

// minuteSum adds up minutes.
type minuteSum flawless.MinuteStats

// sumSince adds up the minutes that end after a time.
func sumSince(all []flawless.MinuteStats, t time.Time) minuteSum {
	sum := minuteSum{Ended: map[flawless.Status]int64{}}
	for _, m := range all {
		if m.Minute.Add(time.Minute).Before(t) {
			continue
		}
		sum.Started += m.Started
		for status, n := range m.Ended {
			sum.Ended[status] += n
		}
	}
	return sum
}

func (m minuteSum) ended() (n int64) {
	for _, x := range m.Ended {
		n += x
	}
	return n
}
