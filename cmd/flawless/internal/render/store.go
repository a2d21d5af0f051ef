package render

import (
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
