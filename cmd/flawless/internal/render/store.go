package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"
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
	if len(c.Recounted) > 0 {
		fmt.Fprintf(w, "the counts of runs were wrong and have been corrected: %s\n", oneLine(strings.Join(c.Recounted, ", ")))
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
		Resuming(w, h)
		return
	}
	fmt.Fprintf(w, "in question since %s:\n", Time(h.Since))
	for _, why := range h.Reasons {
		fmt.Fprintf(w, "  %s\n", oneLine(why))
	}
	var rows [][]string
	for _, r := range h.Rings {
		name := cmp.Or(r.Node, r.ID, "(unknown)")
		rows = append(rows, []string{name, string(r.State), fmt.Sprint(len(r.Shards)), fmt.Sprint(r.Held), fmt.Sprint(r.Known)})
	}
	Table(w, "NODE\tRING\tSHARDS\tHELD\tLOST", rows)
	fmt.Fprintf(w, "%s held; to see them: flawless workflow list --status paused\n", Count(h.Held, "run"))
	fmt.Fprintf(w, "%s known to have made calls that the database lost; to see them: flawless workflow list --status unresolved\n", Count(h.Known, "run"))
	for _, r := range h.Rings {
		if r.State == flawless.RingMissing && r.ID != "" {
			fmt.Fprintf(w, "If the working directory of node %s still exists, start a server in it: it knows which calls were made.\n", cmp.Or(r.Node, r.ID))
		}
	}
	fmt.Fprintln(w, "Otherwise find out which calls the outside has received, and end or resolve the runs that must not make them again.\nThen the others go on with: flawless history accept --yes")
}

// Accepted prints what follows after somebody has accepted the history.
func Accepted(w io.Writer, h flawless.History) {
	fmt.Fprintf(w, "accepted: %s resumed\n", Count(h.Held, "run"))
	Resuming(w, h)
}

// Resuming prints for which servers held runs wait after the question has ended.
func Resuming(w io.Writer, h flawless.History) {
	if len(h.Resuming) == 0 {
		return
	}
	fmt.Fprintf(w, "runs in %s are not resumed yet; that is done by:\n", Count(len(h.Resuming), "shard"))
	for _, who := range h.Waiting {
		fmt.Fprintf(w, "  %s\n", who)
	}
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
