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
	"github.com/flawless-engine/flawless/sdk/rust"
)

//go:embed template template-rust
var templates embed.FS

// languages has what a project in each language is made of.
var languages = []struct {
	name, template string
	sdk            fs.FS
}{
	{"go", "template", sdk.Source},
	{"rust", "template-rust", rust.Source},
}

var projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,49}$`)

func (a *app) newCommand() *cobra.Command {
	var lang string
	c := &cobra.Command{Use: "new NAME", Short: "Write a project that builds as it is", Args: cobra.ExactArgs(1),
		Long: "Writes a folder NAME with a workflow in Go or Rust, and a copy of the SDK. One in Go builds without a network, one in\n" +
			"Rust needs the target wasm32-wasip1 and crates.io.",
		Example: "  flawless new shop\n  flawless new shop --lang rust",
		RunE: func(_ *cobra.Command, args []string) error {
			name := filepath.Base(args[0])
			if !projectName.MatchString(name) {
				return fmt.Errorf("a project's name is lower-case letters, digits and dashes and begins with a letter; %q is not: %w", name, flawless.Invalid)
			}
			if _, err := os.Stat(args[0]); err == nil {
				return fmt.Errorf("%s is there already and is not written over: %w", args[0], flawless.Conflict)
			}
			if err := writeProject(args[0], name, lang); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"dir": args[0]})
			}
			fmt.Fprintf(a.out, "wrote %s; now\n  cd %s\n  flawless run %s --input '{\"name\":\"Ann\"}'\n", args[0], args[0], name)
			return nil
		}}
	c.Flags().StringVar(&lang, "lang", "go", "language: go or rust")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"go", "rust"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// writeProject writes the templates and the SDK of a language.
func writeProject(dir, name, lang string) error {
	for _, l := range languages {
		if l.name == lang {
			return writeTemplate(dir, name, l.template, l.sdk)
		}
	}
	return fmt.Errorf("there is no language %q; --lang is go or rust: %w", lang, flawless.Invalid)
}

func writeTemplate(dir, name, from string, sdk fs.FS) error {
	return errors.Join(
		fs.WalkDir(templates, from, func(path string, d fs.DirEntry, err error) error {
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
			rel := strings.TrimSuffix(strings.TrimPrefix(path, from+"/"), ".tmpl")
			return writeFile(filepath.Join(dir, strings.Replace(rel, "dot-", ".", 1)), []byte(b.String()))
		}),
		fs.WalkDir(sdk, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(sdk, path)
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
