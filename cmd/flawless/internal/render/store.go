package render

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/flawless-engine/flawless"
)

// StoreCheck prints the result of a check of the store.
func StoreCheck(w io.Writer, c flawless.StoreCheck, took time.Duration) {
	fmt.Fprintf(w, "checked %s in %v\n", Size(c.Read), took.Round(100*time.Millisecond))
	Damage(w, c)
}

// Damage prints what a check of the store found.
func Damage(w io.Writer, c flawless.StoreCheck) {
	if len(c.Damaged) == 0 && c.Error == "" {
		fmt.Fprintln(w, "no damage found")
	}
	for _, d := range c.Damaged {
		fmt.Fprintf(w, "damaged: %s (%s)\n", d.File, oneLine(d.Reason))
	}
	if len(c.Affected) == 0 {
		return
	}
	var rows [][]string
	for _, x := range c.Affected {
		now := "unreadable"
		if x.Readable {
			now = "readable"
		}
		rows = append(rows, []string{x.Kind, x.Name, x.Part, now, x.Todo})
	}
	fmt.Fprintln(w, "affected:")
	Table(w, "KIND\tNAME\tPART\tEFFECT\tWHAT TO DO", rows)
	if c.More > 0 {
		fmt.Fprintf(w, "and %d more\n", c.More)
	}
}

// History prints what is known about calls that the database may have lost.
func History(w io.Writer, h flawless.History) {
	if !h.Open {
		fmt.Fprint(w, "not in question")
		if h.Accepted != nil {
			fmt.Fprintf(w, "; accepted %s by %s", Time(*h.Accepted), cmp.Or(h.Who, "somebody"))
		}
		if h.Note != "" {
			fmt.Fprintf(w, ": %s", oneLine(h.Note))
		}
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "in question since %s:\n", Time(h.Since))
	for _, why := range h.Reasons {
		fmt.Fprintf(w, "  %s\n", oneLine(why))
	}
	fmt.Fprintf(w, "%s held; to see them: flawless workflow list --status paused\n", Count(h.Held, "run"))
	fmt.Fprintf(w, "%s known to have made calls that the database lost; to see them: flawless workflow list --status unresolved\n", Count(h.Known, "run"))
	fmt.Fprintln(w, "Find out which calls the outside has received, and end or resolve the runs that must not make them again.\nThen the others go on with: flawless history accept --yes")
}
