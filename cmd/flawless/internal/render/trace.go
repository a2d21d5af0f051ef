package render

import (
	"fmt"
	"io"

	"github.com/flawless-engine/flawless"
)

// Turn prints the functions that a turn executed, and their cost.
func Turn(w io.Writer, t flawless.TracedTurn) {
	fmt.Fprintf(w, "turn %d  %s  %d units", t.N, precise(t.Time, 0), t.Cost)
	if t.Other > 0 {
		fmt.Fprintf(w, ", %d of them in the runtime", t.Other)
	}
	fmt.Fprintln(w)
	if len(t.Roots) > 0 {
		fmt.Fprintf(w, "  %10s %10s %7s\n", "total", "self", "calls")
	}
	for _, f := range t.Roots {
		printFrame(w, f, "")
	}
}

func printFrame(w io.Writer, f *flawless.Frame, indent string) {
	count := fmt.Sprint(f.Count)
	if f.Count == 0 {
		count = "resumed" // the call began in an earlier turn
	}
	from := ""
	if f.From.File != "" {
		from = "  from " + position(f.From)
	} else if f.Site.File != "" {
		from = "  at " + position(f.Site)
	}
	fmt.Fprintf(w, "  %10d %10d %7s  %s%s%s\n", f.Total, f.Self, count, indent, f.Func, from)
	for _, c := range f.Calls {
		printFrame(w, c, indent+"  ")
	}
}

// position formats a source position.
func position(s flawless.Site) string { return fmt.Sprintf("%s:%d", s.File, s.Line) }
