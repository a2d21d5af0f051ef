package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const begins, ends = "<!-- figures: written by make bench -->", "<!-- end of figures -->"

// tell prints the tables, writes them to a document and draws the plots.
func (r *results) tell(doc, dir string) error {
	for _, s := range r.Sections {
		for _, p := range s.Plots {
			if err := os.WriteFile(filepath.Join(dir, p.File), []byte(p.svg()), 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Print(r.text(""))
	if doc == "" {
		return nil
	}
	rel, err := filepath.Rel(filepath.Dir(doc), dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(text), begins)
	_, tail, closed := strings.Cut(rest, ends)
	if !found || !closed {
		return fmt.Errorf("%s has no markers for the figures", doc)
	}
	return os.WriteFile(doc, []byte(head+begins+"\n"+r.text(filepath.ToSlash(rel))+ends+tail), 0o644)
}

// text returns the tables, with links to the plots if plots names their folder.
func (r *results) text(plots string) string {
	var b strings.Builder
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "### %s\n\n%s, on %s; F = %.0f µs, H = %.0f µs", s.Name, s.Machine, s.When.Format("2006-01-02"), s.F, s.H)
		if s.P > 0 {
			fmt.Fprintf(&b, ", P = %.0f µs", s.P)
		}
		b.WriteString(".")
		if s.Stolen >= 1 {
			fmt.Fprintf(&b, " Other machines took %.0f %% of the processors' time.", s.Stolen)
		}
		if s.Quick {
			b.WriteString(" Measured with small sizes, which prove nothing.")
		}
		b.WriteString("\n\n| what | median | at least | target | |\n|---|---|---|---|---|\n")
		for _, f := range s.Figures {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", f.What, s.value(f), s.verdict(f))
		}
		b.WriteString("\n")
		for _, p := range s.Plots {
			if plots != "" {
				fmt.Fprintf(&b, "![%s](%s/%s)\n", p.Title, plots, p.File)
			}
		}
		if len(s.Plots) > 0 && plots != "" {
			b.WriteString("\n")
		}
	}
	return b.String()
}

func (s *section) value(f figure) string {
	text := number(f.Value) + " " + f.Unit
	if g := f.Goal; g != nil && g.Floors && s.floor(g) > 0 {
		text += fmt.Sprintf(" = %.2f × %s", f.Value/s.floor(g), g.floors())
	}
	return text
}

// floors names the floors to which the goal refers.
func (g *goal) floors() string {
	if g.Postgres {
		return "(P + H)"
	}
	return "(F + H)"
}

// verdict describes the goal and the target, and which of them is met.
func (s *section) verdict(f figure) string {
	g := f.Goal
	if g == nil {
		return " | | "
	}
	sign, unit := "≤ ", " "+f.Unit
	if g.AtLeast {
		sign = "≥ "
	}
	if g.Floors {
		unit = " × " + g.floors()
	}
	limit, target, word := sign+number(g.Limit)+unit, "", "missed"
	if s.met(f, g.Limit) {
		word = "met"
	}
	if g.Target != 0 {
		target = sign + number(g.Target) + unit
		if s.met(f, g.Target) {
			word = "target met"
		}
	}
	return limit + " | " + target + " | " + word
}

// number formats a number with three significant digits.
func number(v float64) string {
	switch a := max(v, -v); {
	case a == 0 || a >= 100:
		return thousands(v)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// thousands formats a whole number with commas.
func thousands(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for k := len(text) - 3; k > 0 && text[k-1] != '-'; k -= 3 {
		text = text[:k] + "," + text[k:]
	}
	return text
}
