// Package project creates and builds the projects of users: a directory with a workflow in Go, Rust or TypeScript.
//
// It writes files, and runs the go command, cargo and tsc. It knows nothing of servers or of what a module does.
package project

import (
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

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/gosdk"
	"github.com/flawless-engine/flawless/sdk/rust"
	"github.com/flawless-engine/flawless/sdk/ts"
)

// Project is a project to be created.
type Project struct {
	Dir, Name string
	Release   string // of the SDK to require; empty copies the SDK into the project
	Missing   error  // why the release could not be downloaded, set by Write
}

// CheckName returns [flawless.Invalid] unless a name can be that of a project.
func CheckName(name string) error {
	if !projectName.MatchString(name) {
		return fmt.Errorf("%q is not a project name; use lower-case letters, digits and dashes, beginning with a letter: %w", name, flawless.Invalid)
	}
	return nil
}

var projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,49}$`)

// Write writes the files of a project in a language. The project requires a release of the SDK, or gets a copy
// if there is none or it cannot be downloaded.
func (p *Project) Write(ctx context.Context, lang string) error {
	for _, l := range languages {
		if l.name != lang {
			continue
		}
		if p.Release != "" {
			if err := p.writeTemplates(l.template); err != nil {
				return err
			}
			err := p.download(ctx)
			if err == nil || ctx.Err() != nil {
				return err
			}
			p.Missing = fmt.Errorf("could not download the SDK %s, so third_party/flawless contains a copy: %w", p.Release, err)
			p.Release = ""
		}
		return errors.Join(p.writeTemplates(l.template), p.writeSDK(l.sdk))
	}
	return fmt.Errorf("unknown language %q; use --lang go, --lang rust or --lang ts: %w", lang, flawless.Invalid)
}

func (p *Project) writeTemplates(from string) error {
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
		if err := t.Execute(&b, map[string]string{"Name": p.Name, "Release": p.Release}); err != nil {
			return err
		}
		rel := strings.TrimSuffix(strings.TrimPrefix(path, from+"/"), ".tmpl")
		rel = strings.Replace(strings.Replace(rel, "dot-", ".", 1), "name.ts", p.Name+".ts", 1)
		return writeFile(filepath.Join(p.Dir, rel), []byte(b.String()))
	})
}

func (p *Project) writeSDK(sdk fs.FS) error {
	return fs.WalkDir(sdk, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(sdk, path)
		if err != nil {
			return err
		}
		path = strings.TrimSuffix(path, gosdk.Suffix)
		return writeFile(filepath.Join(p.Dir, "third_party", "flawless", filepath.FromSlash(path)), b)
	})
}

// download downloads the release of the SDK and adds its checksum to go.sum.
func (p *Project) download(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir, cmd.Env = p.Dir, append(os.Environ(), "GOWORK=off")
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

//go:embed template template-rust template-ts
var templates embed.FS

// languages has the template and the SDK for each language.
var languages = []struct {
	name, template string
	sdk            fs.FS
}{
	{"go", "template", gosdk.Source()},
	{"rust", "template-rust", rust.Source},
	{"ts", "template-ts", ts.Source},
}
