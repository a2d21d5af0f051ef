package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/client"
)

func (a *app) traceCommand() *cobra.Command {
	var o client.Trace
	var module, pprof string
	c := &cobra.Command{Use: "trace ID", Short: "Show which functions a run executed, and their cost", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun,
		Long: `Replays the run on the server and shows, turn by turn, which functions it
executed: how often each was called from where, and what it cost in metered
units, with and without the functions it called. The trace
comes from the replay: nothing is recorded while a run executes. Functions of
the language runtime are omitted unless you give --all.`,
		Example: "  flawless workflow trace order-42 --turn 3\n  flawless workflow trace order-42 --func 'main\\.'\n" +
			"  flawless workflow trace order-42 --pprof run.pb.gz && go tool pprof -http=: run.pb.gz",
		RunE: func(c *cobra.Command, args []string) error {
			bin, err := readModule(module)
			if err != nil {
				return err
			}
			cl, err := a.connect()
			if err != nil {
				return err
			}
			t, err := cl.Trace(c.Context(), args[0], o, bin)
			if err != nil {
				return err
			}
			switch {
			case pprof != "":
				err = a.writeProfile(pprof, t)
			case a.json:
				err = a.printJSON(t)
			default:
				for _, turn := range t.Turns {
					printTurn(a.out, turn)
				}
			}
			if err != nil || t.Divergence == nil {
				return err
			}
			if !a.json && pprof == "" {
				a.printDivergence(t.Divergence, sources{asked: "."})
			}
			return fmt.Errorf("the replay of run %s diverged in turn %d: %w", t.Run, t.Divergence.Turn, flawless.Diverged)
		}}
	f := c.Flags()
	f.IntVar(&o.Turn, "turn", 0, "show only this turn")
	f.IntVar(&o.Depth, "depth", 0, "maximum depth of the tree")
	f.StringVar(&o.Func, "func", "", "show only paths to functions whose name matches this regular expression")
	f.BoolVar(&o.All, "all", false, "include functions of the language runtime")
	f.StringVar(&module, "module", "", "trace with this module file instead of the run's own module")
	f.StringVar(&pprof, "pprof", "", "write a profile for go tool pprof to this file")
	return c
}

func (a *app) writeProfile(file string, t flawless.Trace) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	defer closing(&err, f.Close)
	if err := profileOf(t).Write(f); err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	fmt.Fprintf(a.errs, "wrote %s; open it with: go tool pprof -http=: %s\n", file, file)
	return nil
}

func printTurn(w io.Writer, t flawless.TracedTurn) {
	fmt.Fprintf(w, "turn %d  %s  %d units", t.N, fine(t.Time, 0), t.Cost)
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
		count = "goes on"
	}
	from := ""
	if f.From.File != "" {
		from = "  from " + place(f.From)
	} else if f.Site.File != "" {
		from = "  at " + place(f.Site)
	}
	fmt.Fprintf(w, "  %10d %10d %7s  %s%s%s\n", f.Total, f.Self, count, indent, f.Func, from)
	for _, c := range f.Calls {
		printFrame(w, c, indent+"  ")
	}
}

func place(s flawless.Site) string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// stackOf shows where a guest was when it made a call, innermost first.
func stackOf(frames []flawless.StackFrame, indent string) string {
	var b strings.Builder
	for _, f := range frames {
		fmt.Fprintf(&b, "%s%s", indent, f.Func)
		if f.Site.File != "" {
			b.WriteString("  " + place(f.Site))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
