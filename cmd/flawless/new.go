package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	sdk "github.com/flawless-engine/flawless/sdk/go"
)

//go:embed template
var templates embed.FS

var projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,49}$`)

func (a *app) newCommand() *cobra.Command {
	return &cobra.Command{Use: "new NAME", Short: "Write a project that builds as it is", Args: cobra.ExactArgs(1),
		Long: "Writes a folder NAME with a workflow in Go, and a copy of the SDK, so that it builds without a network.",
		RunE: func(_ *cobra.Command, args []string) error {
			name := filepath.Base(args[0])
			if !projectName.MatchString(name) {
				return fmt.Errorf("a project's name is lower-case letters, digits and dashes and begins with a letter; %q is not: %w", name, flawless.Invalid)
			}
			if _, err := os.Stat(args[0]); err == nil {
				return fmt.Errorf("%s is there already and is not written over: %w", args[0], flawless.Conflict)
			}
			if err := writeProject(args[0], name); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"dir": args[0]})
			}
			fmt.Fprintf(a.out, "wrote %s; now\n  cd %s\n  flawless run %s --input '{\"name\":\"Ann\"}'\n", args[0], args[0], name)
			return nil
		}}
}

// writeProject writes the templates and the SDK.
func writeProject(dir, name string) error {
	return errors.Join(
		fs.WalkDir(templates, "template", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := templates.ReadFile(path)
			if err != nil {
				return err
			}
			t, err := template.New(path).Parse(string(text))
			if err != nil {
				return err
			}
			var b strings.Builder
			if err := t.Execute(&b, map[string]string{"Name": name}); err != nil {
				return err
			}
			rel := strings.TrimSuffix(strings.TrimPrefix(path, "template/"), ".tmpl")
			return writeFile(filepath.Join(dir, strings.Replace(rel, "dot-", ".", 1)), []byte(b.String()))
		}),
		fs.WalkDir(sdk.Source, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := sdk.Source.ReadFile(path)
			if err != nil {
				return err
			}
			return writeFile(filepath.Join(dir, "third_party", "flawless", filepath.FromSlash(path)), b)
		}))
}

func writeFile(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
