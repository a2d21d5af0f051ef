package main

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// unclear matches phrases that help must not use in place of the standard terms.
var unclear = regexp.MustCompile(`(?i)whoever|whatever|nobody can know|in doubt|its place|at hand|towards|asked back|under way|so many|may be repeated`)

// TestHelpIsReadable checks all commands: help fits into 80 columns, every flag has a description, and the texts
// use the standard terms.
func TestHelpIsReadable(t *testing.T) {
	t.Parallel()
	a := &app{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, ctx: t.Context()}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		name := c.CommandPath()
		for line := range strings.Lines(c.Long + "\n  " + strings.Repeat(" ", 12) + c.Short) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%s: a line of %d columns: %q", name, n, line)
			}
			if found := unclear.FindString(line); found != "" {
				t.Errorf("%s says %q in %q", name, found, line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || unclear.MatchString(f.Usage) || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: %q", name, f.Name, f.Usage)
			}
		})
		for _, sub := range c.Commands() {
			if sub.Name() == "completion" { // the texts of the library
				continue
			}
			visit(sub)
		}
	}
	visit(a.root())

	var help strings.Builder
	a.out = &help
	root := a.root()
	root.SetOut(&help)
	root.SetArgs([]string{"workflow", "start", "--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	_, options, _ := strings.Cut(help.String(), "Flags:")
	for line := range strings.Lines(options) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("an option of workflow start has a line of %d columns: %q", n, line)
		}
	}
}
