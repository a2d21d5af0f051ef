package render

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/flawless-engine/flawless"
)

// Sources are the source directories of both sides of a divergence; empty if there is none. A line of the old
// code is never looked up in the source of the new code, where it may be a different one.
type Sources struct{ Logged, Asked string }

// AddTo adds the flags for the directories to a command.
func (s *Sources) AddTo(f *pflag.FlagSet) {
	f.StringVar(&s.Asked, "source", ".", "source directory of the new code, to show the lines that differ if its module has no source")
	f.StringVar(&s.Logged, "logged-source", "", "source directory of the code that the run was logged with, to show its lines if its module has no source")
}

// of returns the sources for a replay. own says that it uses the code that the run was logged with.
func (s Sources) of(own bool) Sources {
	if own && s.Logged == "" {
		s.Logged = s.Asked
	}
	return s
}

// maxUnequal is the maximum number of differing fields shown, and maxUnequalText the maximum length of each.
const maxUnequal, maxUnequalText = 12, 120

// Divergence prints both sides of a divergence, and the fields that differ.
func Divergence(w io.Writer, d *flawless.Divergence, source Sources) {
	fmt.Fprintf(w, "diverged in turn %d", d.Turn)
	if d.Call > 0 {
		fmt.Fprintf(w, " at call %d", d.Call)
	}
	fmt.Fprintln(w)
	side := func(name, source string, c *flawless.Call, lines []flawless.SourceLine, end *flawless.Ended) {
		switch {
		case c != nil:
			fmt.Fprintf(w, "  %-7s %s%s\n", name, request(*c), path(*c))
			printLines(w, source, *c, lines)
		case end != nil:
			fmt.Fprintf(w, "  %-7s %s\n", name, end)
		default:
			fmt.Fprintf(w, "  %-7s nothing\n", name)
		}
	}
	side("logged", source.Logged, d.Logged, d.LoggedLines, d.LoggedEnd)
	side("asked", source.Asked, d.Asked, d.AskedLines, d.AskedEnd)
	if d.Logged == nil || d.Asked == nil {
		return
	}
	unequal := d.Logged.Mismatches(*d.Asked)
	for i, u := range unequal {
		if i == maxUnequal {
			fmt.Fprintf(w, "  and %d more differences\n", len(unequal)-i)
			break
		}
		x, y := excerpts(u.Logged, u.Asked, maxUnequalText)
		verb := "differs"
		if u.Field == "headers" {
			verb = "differ"
		}
		fmt.Fprintf(w, "  %s %s: logged %s, asked %s\n", u.Field, verb, x, y)
	}
}

// printLines prints the lines of source that led to a call: those that its module has, or else those in the directory source.
func printLines(w io.Writer, source string, c flawless.Call, lines []flawless.SourceLine) {
	if len(lines) == 0 {
		for _, at := range []string{c.Via, c.Innermost()} {
			if text := sourceLine(source, at); text != "" {
				lines = append(lines, flawless.SourceLine{Site: at, Text: text})
			}
		}
	}
	for _, l := range lines {
		at := ""
		if c.Via != "" { // several, so say which is which
			at = l.Site + " "
		}
		fmt.Fprintf(w, "          %s| %s\n", at, l.Text)
	}
}

// excerpts shortens two texts to the part where they differ.
func excerpts(a, b string, n int) (string, string) {
	at := 0
	if max(len(a), len(b)) > n {
		for at < min(len(a), len(b)) && a[at] == b[at] {
			at++
		}
		at = max(0, at-n/3)
	}
	cut := func(s string) string {
		switch {
		case s == "":
			return "nothing"
		case at == 0:
			return Shorten(s, n)
		}
		return "…" + Shorten(s[min(at, len(s)):], n)
	}
	return cut(a), cut(b)
}

// sourceLine returns the line of a call site, directory/file:line, from the source in dir, or "" if it is not
// there. The source may be newer than the module.
func sourceLine(dir, site string) string {
	file, number, ok := strings.Cut(site, ":")
	line, err := strconv.Atoi(number)
	if !ok || err != nil || dir == "" {
		return ""
	}
	base := filepath.Base(file)
	for _, name := range []string{filepath.Join(dir, file), filepath.Join(dir, base), filepath.Join(dir, "src", base), filepath.Join(dir, "..", file)} {
		if text := lineOf(name, line); text != "" {
			return text
		}
	}
	return ""
}

// lineOf returns a line of a file, or "".
func lineOf(name string, line int) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		if n == line {
			return strings.TrimSpace(s.Text())
		}
	}
	return ""
}
