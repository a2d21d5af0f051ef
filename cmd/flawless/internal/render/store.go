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

// Store prints the identity of a store and the result of its last check. One in a database is not checked.
func Store(w io.Writer, h flawless.Health, check flawless.StoreCheck, inDatabase bool) {
	fmt.Fprintf(w, "store %s, start %d, %s\n", h.Store, h.Start, h.State)
	if h.Message != "" {
		fmt.Fprintln(w, h.Message)
	}
	switch {
	case inDatabase:
		fmt.Fprintln(w, "the store is in a database, which has checks of its own")
		return
	case check.Running:
		fmt.Fprintf(w, "a check is running: %s of %s\n", Size(check.Read), Size(check.Total))
	}
	if check.Ended == nil {
		fmt.Fprintln(w, "no check has finished yet")
		return
	}
	fmt.Fprintf(w, "last check: %s\n", Time(*check.Ended))
	Damage(w, check)
}
