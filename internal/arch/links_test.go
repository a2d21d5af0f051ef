package arch

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	code    = regexp.MustCompile("`[^`\n]*`")
)

// TestLinksInTheDocsResolve checks that each link of a page leads to a file, and to a heading if it names one, and that
// each page in docs is linked from the README or from another page.
func TestLinksInTheDocsResolve(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "sdk/*/*.md", "client/*/*.md", "examples/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains("\n"+string(text), "\n<<<<<<< ") {
				t.Errorf("%s has merge conflict markers", name)
			}
			pages[filepath.ToSlash(name)] = string(text)
		}
	}
	if len(pages) < 15 {
		t.Errorf("only %d pages were found", len(pages))
	}
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
		return err == nil
	}
	for _, fault := range brokenLinks(pages, exists) {
		t.Error(fault)
	}
}

// page is how code, comments and error messages name a page of the docs.
var page = regexp.MustCompile(`(?:^|\.\./|blob/main/|[^/\w])(docs/[\w/-]+\.md)`)

// TestMentionedPagesExist checks the pages that code, comments, error messages and absolute links name.
func TestMentionedPagesExist(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	mentions := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "target", "node_modules"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		kinds := []string{".go", ".rs", ".py", ".md", ".toml", ".tmpl", ".txt", ".txtar"}
		of := slices.Contains(kinds, filepath.Ext(path)) || d.Name() == "Makefile" || d.Name() == "run"
		if !of || d.Name() == "CHANGELOG.md" || d.Name() == "links_test.go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range page.FindAllStringSubmatch(string(text), -1) {
			name := m[1]
			mentions++
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s mentions %s, which does not exist", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if mentions < 20 {
		t.Errorf("only %d mentions were found", mentions)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"README.md":     "[a](docs/a.md) [folder](examples) [web](https://example.com/#x) `[code](nowhere)`",
		"docs/a.md":     "# Who, what?\n## `flawless up`\n## Twice\n## Twice\n[1](#who-what) [2](a.md#flawless-up) [3](#twice-1) [4](gone.md) [5](#gone) [6](../gone)",
		"docs/alone.md": "```\n# no heading\n[code](nowhere)\n```\n[self](alone.md) [7](#no-heading)",
	}
	got := brokenLinks(pages, func(name string) bool { return name == "examples" })
	want := []string{
		"docs/a.md: #gone: no such heading in docs/a.md",
		"docs/a.md: ../gone: no such file",
		"docs/a.md: gone.md: no such file",
		"docs/alone.md: #no-heading: no such heading in docs/alone.md",
		"docs/alone.md: no other page links to it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// brokenLinks returns the errors in the links of pages, whose names are paths from the root.
func brokenLinks(pages map[string]string, exists func(name string) bool) []string {
	var faults []string
	linked := map[string]bool{}
	for from, text := range pages {
		text = code.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil {
				faults = append(faults, from+": "+m[1]+": "+err.Error())
				continue
			}
			if u.IsAbs() {
				continue
			}
			to := from
			if u.Path != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(from), u.Path))
			}
			page, known := pages[to]
			switch {
			case !known && !exists(to):
				faults = append(faults, from+": "+m[1]+": no such file")
			case u.Fragment != "" && !slices.Contains(anchors(page), u.Fragment):
				faults = append(faults, from+": "+m[1]+": no such heading in "+to)
			case to != from:
				linked[to] = true
			}
		}
	}
	for name := range pages {
		if strings.HasPrefix(name, "docs/") && !linked[name] {
			faults = append(faults, name+": no other page links to it")
		}
	}
	slices.Sort(faults)
	return faults
}

// anchors returns the fragments that lead to the headings of a page, made as GitHub makes them.
func anchors(page string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		a := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		anchor := a
		for n := 1; slices.Contains(all, anchor); n++ {
			anchor = a + "-" + strconv.Itoa(n)
		}
		all = append(all, anchor)
	}
	return all
}
