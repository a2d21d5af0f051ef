package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
)

// sources are the folders of the source of both sides of a divergence, "" where there is none. A line of the
// code of before is not looked up in the source of the code of now: there it is another one.
type sources struct{ logged, asked string }

func (s *sources) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.asked, "source", ".", "source directory of the new code, to show the lines that differ")
	c.Flags().StringVar(&s.logged, "logged-source", "", "source directory of the code that the run was logged with, to show its lines as well")
}

// of returns the sources for a replay, which is with the code of the log where own is set.
func (s sources) of(own bool) sources {
	if own && s.logged == "" {
		s.logged = s.asked
	}
	return s
}

// maxUnequal is how many parts of a call are shown that differ, and maxUnequalText how much of each.
const maxUnequal, maxUnequalText = 12, 120

// printDivergence shows both sides of one, and what differs.
func (a *app) printDivergence(d *flawless.Divergence, source sources) {
	fmt.Fprintf(a.out, "diverged in turn %d", d.Turn)
	if d.Call > 0 {
		fmt.Fprintf(a.out, " at call %d", d.Call)
	}
	fmt.Fprintln(a.out)
	side := func(name, source string, c *flawless.Call, end *flawless.Ended) {
		switch {
		case c != nil:
			fmt.Fprintf(a.out, "  %-7s %s%s\n", name, request(*c), site(*c))
			if text := sourceLine(source, c.Site()); text != "" {
				fmt.Fprintf(a.out, "          | %s\n", text)
			}
		case end != nil:
			fmt.Fprintf(a.out, "  %-7s %s\n", name, end)
		default:
			fmt.Fprintf(a.out, "  %-7s nothing\n", name)
		}
	}
	side("logged", source.logged, d.Logged, d.LoggedEnd)
	side("asked", source.asked, d.Asked, d.AskedEnd)
	if d.Logged == nil || d.Asked == nil {
		return
	}
	unequal := d.Logged.Mismatches(*d.Asked)
	for i, u := range unequal {
		if i == maxUnequal {
			fmt.Fprintf(a.out, "  and %d more differences\n", len(unequal)-i)
			break
		}
		x, y := excerpts(u.Logged, u.Asked, maxUnequalText)
		fmt.Fprintf(a.out, "  %s differs: logged %s, asked %s\n", u.Field, x, y)
	}
}

// excerpts shortens two texts to where they differ.
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
			return shortened(s, n)
		}
		return "…" + shortened(s[min(at, len(s)):], n)
	}
	return cut(a), cut(b)
}

// sourceLine returns the line of a call site, folder/file:line, from the source in dir, or "" where
// it is not there. It is what is there now, which may be newer than the module.
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
