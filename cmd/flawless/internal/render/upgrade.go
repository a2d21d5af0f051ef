package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/flawless-engine/flawless"
)

// maxShown is the maximum number of runs that are shown in full.
const maxShown = 20

// Upgrade prints the report of an upgrade check.
func Upgrade(w io.Writer, u flawless.ModuleUpgrade, source Sources) {
	shown := 0
	for _, r := range u.Runs {
		if r.Verdict == flawless.Continues && r.Reason == "" {
			continue
		}
		if shown++; shown <= maxShown {
			printVerdict(w, r, source)
		}
	}
	if shown > maxShown {
		more := shown - maxShown
		if u.LeftOut > 0 { // the report has these runs first, so the runs that it leaves out may also be some of them
			more = max(more, u.Diverge+u.Undecided-maxShown)
		}
		fmt.Fprintf(w, "and %d more; see them with --json\n", more)
	}
	to := fmt.Sprintf("version %d", u.Version)
	if u.Version == 0 {
		to = "the code"
	}
	var parts []string
	part := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	part(u.Continue, "can move to "+to)
	part(u.Diverge, "cannot")
	part(u.Undecided, "could not be checked")
	part(u.Already, "already use it")
	if len(parts) == 0 {
		parts = []string{"no open runs to move"}
	}
	fmt.Fprintf(w, "%s (%.12s): %s", u.Module, u.Digest, strings.Join(parts, ", "))
	if !u.DryRun {
		fmt.Fprintf(w, "; %d moved", u.Moved)
	}
	fmt.Fprintln(w)
}

// printVerdict prints why a run cannot move.
func printVerdict(w io.Writer, r flawless.RunUpgrade, source Sources) {
	from := ""
	if r.FromVersion > 0 {
		from = fmt.Sprintf(", version %d", r.FromVersion)
	}
	fmt.Fprintf(w, "run %s (%s%s): %s", r.Run, r.Workflow, from, r.Verdict)
	if r.Reason != "" {
		fmt.Fprintf(w, ": %s", r.Reason)
	}
	fmt.Fprintln(w)
	if r.Divergence != nil {
		Divergence(w, r.Divergence, source)
	}
}
