package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/exit"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
)

var writeReference = flag.Bool("write-reference", false, "write docs/reference/cli.md")

// TestCommandReferenceIsCurrent compares docs/reference/cli.md with the help of the commands.
func TestCommandReferenceIsCurrent(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "reference", "cli.md")
	want := commandReference()
	if *writeReference {
		if err := os.WriteFile(file, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/reference/cli.md is outdated; update it with: make reference")
	}
}

// commandReference returns the reference page of all commands.
func commandReference() string {
	root := (&app{new(terminal.Terminal)}).root()
	var b strings.Builder
	b.WriteString("<!-- written by make reference: edit the commands, not this page -->\n\n# Command line\n\n" +
		"Every command takes `--help`, and prints JSON with `--json`. `flawless completion` writes completion scripts for your shell.\n\n")
	options(&b, "Options of every command", root.PersistentFlags())
	b.WriteString("## Exit codes\n\n| code | meaning |\n|---|---|\n")
	row := ""
	for line := range strings.Lines(exit.Help + "\nEND\n") {
		text := strings.Join(strings.Fields(line), " ")
		code, meaning, _ := strings.Cut(text, " ")
		if _, err := strconv.Atoi(code); err != nil && strings.HasPrefix(line, " ") {
			row += " " + text // continues the previous line
			continue
		}
		if row != "" {
			fmt.Fprintf(&b, "%s |\n", row)
		}
		if row = ""; strings.HasPrefix(line, " ") {
			row = fmt.Sprintf("| %s | %s", code, cell(meaning))
		}
	}
	b.WriteString("\n")
	describe(&b, root)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// describe writes the reference of the subcommands of a command.
func describe(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "completion" || c.CommandPath() == "flawless workflow module" {
			continue
		}
		fmt.Fprintf(b, "## `%s`\n\n", c.CommandPath())
		if text := strings.TrimSpace(c.Long); text != "" {
			b.WriteString(prose(text) + "\n\n")
		} else {
			b.WriteString(c.Short + ".\n\n")
		}
		if c.Runnable() && !c.HasSubCommands() {
			fmt.Fprintf(b, "    %s\n\n", c.UseLine())
		}
		if c.Example != "" {
			fmt.Fprintf(b, "Examples:\n\n```\n%s\n```\n\n", unindent(c.Example))
		}
		options(b, "", c.LocalNonPersistentFlags())
		describe(b, c)
	}
}

// prose turns indented lines into code blocks.
func prose(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		code := strings.HasPrefix(line, "  ")
		if code != inside {
			if code {
				b.WriteString("\n```\n")
			} else {
				b.WriteString("```\n\n")
			}
			inside = code
		}
		b.WriteString(strings.TrimPrefix(line, "  ") + "\n")
	}
	if inside {
		b.WriteString("```\n")
	}
	return strings.TrimSpace(b.String())
}

func unindent(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

// options writes a table of flags.
func options(b *strings.Builder, heading string, flags *pflag.FlagSet) {
	var rows []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "`--" + strings.TrimSpace(f.Name+" "+kind) + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "0s" && d != "[]" && !strings.Contains(usage, "(default") {
			usage += " (default " + d + ")"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s |\n", name, cell(usage)))
	})
	if len(rows) == 0 {
		return
	}
	if heading != "" {
		fmt.Fprintf(b, "## %s\n\n", heading)
	}
	fmt.Fprintf(b, "| option | meaning |\n|---|---|\n%s\n", strings.Join(rows, ""))
}

func cell(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", `\<`, "\n", " ").Replace(text)
}
