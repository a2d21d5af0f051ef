package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/render"
)

func (a *app) statsCommand() *cobra.Command {
	return &cobra.Command{Use: "stats", Short: "Count runs by module and status, and why they fail", Args: cobra.NoArgs,
		Long: `Counts the runs of the server, or of all servers on its database, by module and
status; how many started and ended in the last hour and day; and the reasons why
runs failed or are unresolved, since when. Reasons leave out ids and numbers, so
that runs which failed alike count together. Nothing is searched for it: the
command is as fast with a million runs as with ten.`,
		RunE: a.onServer(func(c *cobra.Command, cl *client.Client, _ []string) error {
			s, err := cl.Stats(c.Context())
			if err != nil || a.json {
				return orPrint(a, err, s)
			}
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
					reasons = append(reasons, []string{m.Module, string(x.Status), fmt.Sprint(x.Runs), render.Time(x.Since), render.Time(x.Last), render.Shorten(x.Reason, 100)})
				}
			}
			a.table("MODULE\tPENDING\tWAITING\tPAUSED\tUNRESOLVED\tCOMPLETED\tFAILED\tCANCELLED\tTERMINATED", modules)
			hour, day := sumSince(s.Minutes, time.Now().Add(-time.Hour)), sumSince(s.Minutes, time.Time{})
			fmt.Fprintf(a.out, "\nlast hour  %d started, %d ended\nlast day   %d started, %d ended\n", hour.Started, hour.ended(), day.Started, day.ended())
			if u := s.Unresolved; u != nil && u.Oldest != "" {
				fmt.Fprintf(a.out, "oldest     run %s is unresolved since %s\n", u.Oldest, render.Time(u.Since))
			}
			if len(reasons) > 0 {
				fmt.Fprintln(a.out)
				a.table("MODULE\tSTATUS\tRUNS\tSINCE\tLAST\tREASON", reasons)
			}
			return nil
		})}
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
