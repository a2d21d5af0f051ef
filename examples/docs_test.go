package examples

import (
	"bytes"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/rusttest"
)

// block is a code block of a docs page. Code in an HTML comment, which readers do not see, declares what the other
// blocks of the page need: <!-- go, the code, -->.
type block struct {
	page, lang, code string
	hidden           bool
}

var blocks = regexp.MustCompile("(?ms)^(?:```(\\w+)\n(.*?)^```$|<!-- (go|rust)\n(.*?)^-->$)")

// elsewhere lists the pages whose code in a language is run by other tests.
var elsewhere = map[string]string{
	"guide/libraries.md go": "testdata/packages",
}

// docs returns the code blocks in a language, in order, by page.
func docs(t *testing.T, lang string) map[string][]block {
	t.Helper()
	root := filepath.Join("..", "docs")
	all := map[string][]block{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		page, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		page = filepath.ToSlash(page)
		for _, m := range blocks.FindAllStringSubmatch(string(text), -1) {
			b := block{page: page, lang: m[1] + m[3], code: m[2] + m[4], hidden: m[3] != ""}
			if b.lang == lang && elsewhere[page+" "+lang] == "" {
				all[page] = append(all[page], b)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	uses = regexp.MustCompile(`\b([a-z]\w*)\.[A-Z]`)
	dull = regexp.MustCompile(`declared and not used|^#|^note: module requires|too many errors`)
)

// packages maps the package names in the docs to import paths.
var packages = map[string]string{
	"flawless": "github.com/flawless-engine/flawless/sdk/go", "nethttp": "github.com/flawless-engine/flawless/sdk/go/nethttp",
	"flawlesstest": "github.com/flawless-engine/flawless/sdk/go/flawlesstest",
	"bufio":        "bufio", "bytes": "bytes", "context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "json": "encoding/json",
	"slog": "log/slog", "strings": "strings", "testing": "testing", "time": "time",
}

// TestGoInTheDocsCompiles compiles every Go block in docs as a program, declarations, or statements of a workflow.
func TestGoInTheDocsCompiles(t *testing.T) {
	t.Parallel()
	sdk, err := filepath.Abs(filepath.Join("..", "sdk", "go"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mod := "module docs\n\ngo 1.25\n\nrequire github.com/flawless-engine/flawless/sdk/go v0.0.0\n\nreplace github.com/flawless-engine/flawless/sdk/go => " + sdk + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o666); err != nil {
		t.Fatal(err)
	}
	n := 0
	for page, all := range docs(t, "go") {
		var text strings.Builder
		used := map[string]bool{}
		for i, b := range all {
			n++
			if strings.HasPrefix(b.code, "package ") {
				program(t, dir, fmt.Sprintf("%s%d", name(page), i), b)
				continue
			}
			for _, m := range uses.FindAllStringSubmatch(b.code, -1) {
				used[m[1]] = packages[m[1]] != ""
			}
			if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+b.code, 0); err == nil {
				text.WriteString(b.code + "\n")
				continue
			}
			used["context"] = true
			fmt.Fprintf(&text, "func _(ctx context.Context) error {\n%s\nreturn nil\n}\n", b.code)
		}
		head := "package " + name(page) + "\n"
		for _, p := range slices.Sorted(maps.Keys(used)) {
			if used[p] {
				head += fmt.Sprintf("import %s %q\n", p, packages[p])
			}
		}
		write(t, filepath.Join(dir, name(page), "page.go"), head+text.String())
	}
	if n < 30 {
		t.Errorf("only %d blocks of Go were found", n)
	}
	build := exec.Command("go", "build", "-gcflags=-e", "./...")
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	report(t, build)
}

// program compiles a block that is a whole file: a workflow, or an application that uses the client.
func program(t *testing.T, dir, name string, b block) {
	t.Helper()
	if !strings.Contains(b.code, "flawless/client") {
		write(t, filepath.Join(dir, name, "main.go"), b.code)
		return
	}
	file := filepath.Join(t.TempDir(), "main.go")
	write(t, file, b.code)
	build := exec.Command("go", "build", "-o", os.DevNull, file)
	build.Dir = ".."
	report(t, build)
}

// TestRustInTheDocsCompiles compiles every Rust block in docs as items or statements of an async workflow.
func TestRustInTheDocsCompiles(t *testing.T) {
	t.Parallel()
	guests, clients := "#![allow(warnings)]\n", "#![allow(warnings)]\n"
	n := 0
	for page, all := range docs(t, "rust") {
		items, parts := "", ""
		for _, b := range all {
			n++
			switch {
			case strings.Contains(b.code, "flawless_client"):
				clients += fmt.Sprintf("fn block%d() -> Result<(), flawless_client::Error> {\n%s;\nOk(()) }\n", n, b.code)
			case b.hidden:
				items += b.code
			default:
				parts += fmt.Sprintf("async fn block%d() -> Result<(), flawless::Error> {\n%s;\nOk(()) }\n", n, b.code)
			}
		}
		guests += fmt.Sprintf("mod %s {\nuse std::time::Duration;\nuse flawless::{Error, Wait, http};\n%s%s}\n", name(page), items, parts)
	}
	if n < 15 {
		t.Errorf("only %d blocks of Rust were found", n)
	}
	check(t, "hello-rust", "serde_json = \"1\"\n", map[string]string{"src/lib.rs": guests})
	check(t, filepath.Join("..", "cmd", "flawless", "testdata", "rustclient"), "serde_json = \"1\"\n", map[string]string{"src/main.rs": clients + "fn main() {}\n"})
}

// check compiles files as a package with the name, dependencies and locked versions of another package.
func check(t *testing.T, like, dependencies string, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	manifest, err := os.ReadFile(filepath.Join(like, "Cargo.toml"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(like, "Cargo.lock"))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`path = "([^"]+)"`).ReplaceAllStringFunc(string(manifest), func(m string) string {
		path, err := filepath.Abs(filepath.Join(like, strings.Split(m, `"`)[1]))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("path = %q", path)
	})
	text = strings.Replace(text, "[dependencies]\n", "[dependencies]\n"+dependencies, 1)
	write(t, filepath.Join(dir, "Cargo.toml"), text)
	write(t, filepath.Join(dir, "Cargo.lock"), string(lock))
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	target, err := rusttest.TargetDir("-docs")
	if err != nil {
		t.Fatal(err)
	}
	cargo := exec.Command("cargo", "check", "--quiet")
	cargo.Dir, cargo.Env = dir, append(os.Environ(), "CARGO_TARGET_DIR="+target)
	report(t, cargo)
}

// report runs a compiler and reports its errors, except for unused variables.
func report(t *testing.T, c *exec.Cmd) {
	t.Helper()
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var said []string
	for line := range bytes.Lines(out) {
		if line := strings.TrimSpace(string(line)); line != "" && !dull.MatchString(line) {
			said = append(said, line)
		}
	}
	if len(said) > 0 {
		t.Errorf("%v: %v\n%s", c.Args, err, strings.Join(said, "\n"))
	}
}

// name turns the path of a page into an identifier for Go and Rust.
func name(page string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimSuffix(page, ".md")))
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
