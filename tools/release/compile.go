package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// compiling returns the settings of the go command that affect the bytes of a binary.
func compiling(t target) []string {
	return []string{"CGO_ENABLED=0", "GOOS=" + t.system, "GOARCH=" + t.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-trimpath", "GOWORK=off", "GOEXPERIMENT=", "GODEBUG="}
}

func (r *release) compile(ctx context.Context, t target) error {
	_, err := command(ctx, r.source, compiling(t), "go", "build", "-buildvcs=true", "-ldflags=-s -w", "-o", r.binary(t), "./cmd/flawless")
	return err
}

// completions generates the shell completion scripts.
func (r *release) completions(ctx context.Context) error {
	program := r.binary(host())
	if _, err := os.Stat(program); err != nil {
		if err := r.compile(ctx, host()); err != nil {
			return err
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		text, err := command(ctx, r.work, []string{"HOME=" + r.work, "APPDATA=" + r.work}, program, "completion", shell)
		if err != nil {
			return err
		}
		r.files = append(r.files, file{name: "completions/flawless." + shell, data: []byte(text)})
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join(r.source, name))
		if err != nil {
			return err
		}
		r.files = append(r.files, file{name: name, data: text})
	}
	return nil
}

// contents returns the modules in any of the binaries, except our own.
func (r *release) contents() ([]*debug.Module, error) {
	found := map[string]*debug.Module{}
	for _, t := range targets {
		info, err := buildinfo.ReadFile(r.binary(t))
		if err != nil {
			return nil, err
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				return nil, fmt.Errorf("%s replaces %s: nobody else could build it", t, m.Path)
			}
			found[m.Path+"@"+m.Version] = m
		}
	}
	var out []*debug.Module
	for _, m := range found {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *debug.Module) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Version, b.Version))
	})
	return out, nil
}

// licences collects the licence texts of the modules in the binaries, which must be distributed with them.
func (r *release) licences(ctx context.Context) error {
	all, err := r.contents()
	if err != nil {
		return err
	}
	root, err := command(ctx, r.source, nil, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("The flawless command contains the following software besides its own.\n")
	if err := addLicences(&b, "Go standard library and runtime", strings.TrimSpace(root)); err != nil {
		return err
	}
	for _, m := range all {
		text, err := command(ctx, r.source, []string{"GOWORK=off"}, "go", "mod", "download", "-json", m.Path+"@"+m.Version)
		if err != nil {
			return err
		}
		var got struct{ Dir string }
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			return err
		}
		if err := addLicences(&b, m.Path+" "+m.Version, got.Dir); err != nil {
			return err
		}
	}
	// What is embedded is no Go module: it brings its licences.
	for _, name := range []string{"internal/tsbuild/LICENSES.txt", "internal/web/static/LICENSES.txt"} {
		text, err := os.ReadFile(filepath.Join(r.source, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n%s\n", text)
	}
	r.third = b.Bytes()
	r.files = append(r.files, file{name: "THIRD_PARTY_LICENSES", data: r.third})
	return nil
}

func addLicences(b *bytes.Buffer, name, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		if e.IsDir() || !slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, func(s string) bool { return strings.HasPrefix(upper, s) }) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		found = found || !strings.HasPrefix(upper, "PATENTS")
		fmt.Fprintf(b, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), name, e.Name(), bytes.TrimSpace(text))
	}
	if !found {
		return fmt.Errorf("%s has no licence in %s: it may not be passed on", name, dir)
	}
	return nil
}
