package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
)

// unclear matches phrases that help must not use in place of the standard terms.
var unclear = regexp.MustCompile(`(?i)whoever|whatever|nobody can know|in doubt|its place|at hand|towards|asked back|under way|so many|may be repeated`)

// TestHelpIsReadable checks all commands: help fits into 80 columns, every flag has a description, and the texts
// use the standard terms.
func TestHelpIsReadable(t *testing.T) {
	t.Parallel()
	a := &app{&terminal.Terminal{In: strings.NewReader(""), Out: io.Discard, Errs: io.Discard, Ctx: t.Context()}}
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
	a.Out = &help
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

// TestHelpOfUnknownCommandIsUsageError: a script must not take the help of another command for success. Help of a
// command that exists works at each level.
func TestHelpOfUnknownCommandIsUsageError(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"help quux":                "flawless: unknown command \"quux\" for \"flawless\"\nhint: see flawless --help\n",
		"help workflow quux":       "flawless: unknown command \"quux\" for \"flawless workflow\"\nhint: see flawless workflow --help\n",
		"help workflow list x":     "flawless: unknown command \"x\" for \"flawless workflow list\"\nhint: see flawless workflow list --help\n",
		"help":                     "",
		"help workflow":            "",
		"help wf list":             "",
		"help workflow module add": "",
	} {
		var out, errs strings.Builder
		code := run(t.Context(), strings.Fields(line), strings.NewReader(""), &out, &errs)
		if failed := want != ""; failed != (code == 2) || failed == (code == 0) || errs.String() != want || failed != (out.Len() == 0) {
			t.Errorf("flawless %s ends with %d, prints %d bytes, and says %q, want %q", line, code, out.Len(), &errs, want)
		}
	}
}

// TestWrongNumberOfArgumentsShowsUsage: all commands with arguments, given none or too many.
func TestWrongNumberOfArgumentsShowsUsage(t *testing.T) {
	t.Parallel()
	refused := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		c.InitDefaultHelpFlag()
		for _, args := range [][]string{nil, strings.Fields("a b c d e f g")} {
			if c.HasSubCommands() || !strings.Contains(c.Use, " ") || strings.Contains(c.Use, " --") || c.Name() == "help" || c.ValidateArgs(args) == nil {
				continue
			}
			var errs strings.Builder
			code := run(t.Context(), append(strings.Fields(c.CommandPath())[1:], args...), strings.NewReader(""), io.Discard, &errs)
			refused++
			if want := fmt.Sprintf("wrong number of arguments, %d: the usage is %s", len(args), c.UseLine()); code != 2 || !strings.Contains(errs.String(), want) {
				t.Errorf("%s with %d arguments ends with %d and %q, want %q in it", c.CommandPath(), len(args), code, &errs, want)
			}
		}
	}
	visit((&app{new(terminal.Terminal)}).root())
	if refused < 60 {
		t.Errorf("only %d command lines were refused", refused)
	}
}
