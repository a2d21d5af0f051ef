// Command console bundles the scripts and styles of the console: go generate ./internal/web runs it.
//
// It fetches the packages that packages.lock names from the npm registry, checks them against their hashes, and bundles
// internal/web/script and internal/web/style with esbuild, which is a Go library here. It needs no node. It is a module of
// its own, so that the product does not depend on esbuild.
//
//	console -dir internal/web          writes static/console.js, static/console.css and static/LICENSES.txt
//	console -dir internal/web -check   fails if these files are not what it would write
//	console -dir internal/web -only axe-core -out FILE   writes the main file of one package, for tests
//
// It exits with status 3 if the registry cannot be reached.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/evanw/esbuild/pkg/api"
)

// errOffline is the error if the registry cannot be reached.
var errOffline = errors.New("the npm registry cannot be reached")

// pkg is a line of packages.lock.
type pkg struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	License   string `json:"license"`
	Integrity string `json:"integrity"`
	Test      string `json:"test,omitempty"` // file that only tests need; the package is not bundled
}

func main() {
	dir := flag.String("dir", ".", "folder of the package web")
	check := flag.Bool("check", false, "compare instead of writing")
	only := flag.String("only", "", "write the file for tests of this package")
	out := flag.String("out", "", "where -only writes to")
	flag.Parse()
	err := run(*dir, *check, *only, *out)
	switch {
	case errors.Is(err, errOffline):
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(3)
	case err != nil:
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool, only, out string) error {
	b, err := os.ReadFile(filepath.Join(dir, "packages.lock"))
	if err != nil {
		return err
	}
	var all []pkg
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("packages.lock: %w", err)
	}
	modules, err := os.MkdirTemp("", "console")
	if err != nil {
		return err
	}
	defer os.RemoveAll(modules)
	var licences bytes.Buffer
	licences.WriteString("The file console.js contains these packages:\n")
	for _, p := range all {
		if (only != "") != (only == p.Name) || only == "" && p.Test != "" {
			continue
		}
		if err := p.unpack(modules); err != nil {
			return err
		}
		if only != "" {
			b, err := os.ReadFile(filepath.Join(modules, p.Name, p.Test))
			if err != nil {
				return err
			}
			return os.WriteFile(out, b, 0o644)
		}
		text, err := licence(filepath.Join(modules, p.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		fmt.Fprintf(&licences, "\n%s %s (%s)\n\n%s\n", p.Name, p.Version, p.License, strings.TrimSpace(text))
	}
	if only != "" {
		return fmt.Errorf("packages.lock has no package %s", only)
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	made := map[string][]byte{"LICENSES.txt": licences.Bytes()}
	for name, from := range map[string]string{"console.js": "script/main.js", "console.css": "style/main.css"} {
		r := api.Build(api.BuildOptions{EntryPoints: []string{filepath.Join(full, from)}, Bundle: true, Format: api.FormatESModule,
			Target: api.ES2022, MinifyWhitespace: true, MinifySyntax: name == "console.js", MinifyIdentifiers: true, Charset: api.CharsetUTF8,
			LegalComments: api.LegalCommentsNone, NodePaths: []string{modules}, Outfile: name, LogLevel: api.LogLevelWarning})
		if len(r.Errors) > 0 || len(r.OutputFiles) != 1 {
			return fmt.Errorf("esbuild refuses %s, see above", from)
		}
		made[name] = r.OutputFiles[0].Contents
	}
	for name, content := range made {
		file := filepath.Join(full, "static", name)
		if !check {
			if err := os.WriteFile(file, content, 0o644); err != nil {
				return err
			}
			continue
		}
		if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, content) {
			return fmt.Errorf("%s is not what the scripts give (%v): run go generate ./internal/web", file, err)
		}
	}
	return nil
}

// registry returns the URL of the registry: npm_config_registry, ~/.npmrc or the usual one.
func registry() string {
	at := os.Getenv("npm_config_registry")
	if home, err := os.UserHomeDir(); at == "" && err == nil {
		b, _ := os.ReadFile(filepath.Join(home, ".npmrc"))
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == "registry" {
				at = strings.TrimSpace(value)
			}
		}
	}
	if at == "" {
		at = "https://registry.npmjs.org"
	}
	return strings.TrimSuffix(at, "/")
}

// unpack fetches a package, checks its hash, and unpacks it to a folder of its name.
func (p pkg) unpack(to string) error {
	u := fmt.Sprintf("%s/%s/-/%s-%s.tgz", registry(), p.Name, path.Base(p.Name), p.Version)
	c := http.Client{Timeout: time.Minute}
	resp, err := c.Get(u)
	if err != nil {
		return fmt.Errorf("%s: %v: %w", p.Name, err, errOffline)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d, %v: %w", p.Name, resp.StatusCode, err, errOffline)
	}
	sum := sha512.Sum512(b)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != p.Integrity {
		return fmt.Errorf("%s %s has the hash %s, but packages.lock says %s", p.Name, p.Version, got, p.Integrity)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(h.Name, "/") // without "package"
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) {
			continue
		}
		file := filepath.Join(to, p.Name, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		content, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
}

// licence returns the text of the licence of a package.
func licence(dir string) (string, error) {
	for _, name := range []string{"LICENSE", "LICENSE.md", "LICENSE.txt", "license"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return string(b), nil
		}
	}
	return "", errors.New("the package has no licence file")
}
