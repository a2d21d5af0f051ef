package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/gosdk"
	"github.com/flawless-engine/flawless/sdk/rust"
)

//go:embed template template-rust
var templates embed.FS

// languages has what a project in each language is made of.
var languages = []struct {
	name, template string
	sdk            fs.FS
}{
	{"go", "template", gosdk.Source()},
	{"rust", "template-rust", rust.Source},
}

var projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,49}$`)

func (a *app) newCommand() *cobra.Command {
	var lang string
	var copied bool
	c := &cobra.Command{Use: "new NAME", Short: "Create a project that builds and runs", Args: cobra.ExactArgs(1),
		Long: `Creates a directory NAME with a workflow in Go or Rust and a test for it.

A Go project requires the SDK of this release. It gets a copy of the SDK in
third_party/flawless instead, and builds without a network, if the SDK cannot
be downloaded, if this command is not a release, or with --copy-sdk. A Rust
project always gets a copy; it needs the target wasm32-wasip1 and crates.io.`,
		Example: "  flawless new shop\n  flawless new shop --lang rust",
		RunE: func(c *cobra.Command, args []string) error {
			name := filepath.Base(args[0])
			if !projectName.MatchString(name) {
				return fmt.Errorf("%q is not a project name; use lower-case letters, digits and dashes, beginning with a letter: %w", name, flawless.Invalid)
			}
			if _, err := os.Stat(args[0]); err == nil {
				return fmt.Errorf("%s already exists and is not overwritten; choose another name: %w", args[0], flawless.Conflict)
			}
			p := project{dir: args[0], name: name}
			if build := flawless.ThisBuild(); lang == "go" && !copied && build.Released() {
				p.release = "v" + build.Version
			}
			if err := p.write(c.Context(), lang); err != nil {
				return err
			}
			if p.missing != nil {
				fmt.Fprintln(a.errs, p.missing)
			}
			if a.json {
				return a.printJSON(map[string]string{"dir": args[0], "sdk": cmp.Or(p.release, "copy")})
			}
			fmt.Fprintf(a.out, "created %s; next steps:\n  cd %s\n  flawless run %s --input '{\"name\":\"Ann\"}'\n", args[0], args[0], name)
			return nil
		}}
	c.Flags().StringVar(&lang, "lang", "go", "language: go or rust")
	c.Flags().BoolVar(&copied, "copy-sdk", false, "include a copy of the SDK instead of requiring its release")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"go", "rust"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// project is what is written.
type project struct {
	dir, name string
	release   string // of the SDK that the project requires; empty is a copy
	missing   error  // that the release could not be had
}

// write writes the templates of a language, and its SDK where the project does not require a release of it.
func (p *project) write(ctx context.Context, lang string) error {
	for _, l := range languages {
		if l.name != lang {
			continue
		}
		if p.release != "" {
			if err := p.writeTemplates(l.template); err != nil {
				return err
			}
			err := p.download(ctx)
			if err == nil || ctx.Err() != nil {
				return err
			}
			p.missing = fmt.Errorf("could not download the SDK %s, so third_party/flawless contains a copy: %w", p.release, err)
			p.release = ""
		}
		return errors.Join(p.writeTemplates(l.template), p.writeSDK(l.sdk))
	}
	return fmt.Errorf("unknown language %q; use --lang go or --lang rust: %w", lang, flawless.Invalid)
}

func (p *project) writeTemplates(from string) error {
	return fs.WalkDir(templates, from, func(path string, d fs.DirEntry, err error) error {
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
		if err := t.Execute(&b, map[string]string{"Name": p.name, "Release": p.release}); err != nil {
			return err
		}
		rel := strings.TrimSuffix(strings.TrimPrefix(path, from+"/"), ".tmpl")
		return writeFile(filepath.Join(p.dir, strings.Replace(rel, "dot-", ".", 1)), []byte(b.String()))
	})
}

func (p *project) writeSDK(sdk fs.FS) error {
	return fs.WalkDir(sdk, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(sdk, path)
		if err != nil {
			return err
		}
		path = strings.TrimSuffix(path, gosdk.Suffix)
		return writeFile(filepath.Join(p.dir, "third_party", "flawless", filepath.FromSlash(path)), b)
	})
}

// download fetches the release of the SDK and writes its checksum into go.sum.
func (p *project) download(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && len(out) > 0:
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return errors.New(strings.TrimSpace(lines[len(lines)-1]))
	}
	return err
}

func writeFile(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
