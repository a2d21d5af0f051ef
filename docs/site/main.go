// Command site makes the documentation's web site from the pages in docs.
//
//	go run . REPOSITORY OUTPUT
//
// docs/README.md is the table of contents: each of its headings is a section of the menu, each link of a list a
// page. The site needs no server and no network: it opens from a folder, and so does its search.
package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// source is where a link leads to a file that is no page.
const source = "https://github.com/flawless-engine/flawless/blob/main/"

//go:embed page.html style.css search.js
var theme embed.FS

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run . REPOSITORY OUTPUT")
		os.Exit(2)
	}
	n, err := build(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	fmt.Printf("%d pages, open %s\n", n, filepath.Join(os.Args[2], "index.html"))
}

// A section is a heading of the menu and its pages.
type section struct {
	Name  string
	Pages []*page
}

type page struct {
	File  string // path in the repository
	URL   string // path in the site
	Title string // its first heading
	Name  string // in the menu
	Body  template.HTML
	Heads []heading // below the title
	parts []part
}

type heading struct{ ID, Text string }

// A part is what a search finds: a page up to its first heading, or what a heading stands over.
type part struct {
	Page string `json:"p"`
	Head string `json:"h,omitempty"`
	URL  string `json:"u"`
	Text string `json:"x"`
	Also string `json:"k,omitempty"` // other names that people look for
}

// build writes the site of a repository into a folder, and returns how many pages it has.
func build(root, out string) (int, error) {
	menu, err := contents(root)
	if err != nil {
		return 0, err
	}
	pages := []*page{{File: "docs/README.md", URL: "index.html"}}
	for _, s := range menu {
		pages = append(pages, s.Pages...)
	}
	byFile := map[string]*page{}
	for _, p := range pages {
		if byFile[p.File] != nil {
			return 0, fmt.Errorf("docs/README.md names %s twice", p.File)
		}
		byFile[p.File] = p
	}
	if err := complete(root, byFile); err != nil {
		return 0, err
	}
	tmpl, err := template.ParseFS(theme, "page.html")
	if err != nil {
		return 0, err
	}
	var parts []part
	for i, p := range pages {
		images, err := p.read(root, byFile)
		if err != nil {
			return 0, err
		}
		for _, name := range images {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
			if err != nil {
				return 0, fmt.Errorf("an image of %s: %w", p.File, err)
			}
			if err := write(out, image(name), b); err != nil {
				return 0, err
			}
		}
		data := struct {
			*page
			Menu       []section
			Root       string
			Prev, Next *page
			Source     string
		}{page: p, Menu: menu, Root: strings.Repeat("../", strings.Count(p.URL, "/")), Source: source + p.File}
		if i > 1 {
			data.Prev = pages[i-1]
		}
		if i > 0 && i+1 < len(pages) {
			data.Next = pages[i+1]
		}
		var b bytes.Buffer
		if err := tmpl.Execute(&b, data); err != nil {
			return 0, fmt.Errorf("%s: %w", p.File, err)
		}
		if err := write(out, p.URL, b.Bytes()); err != nil {
			return 0, err
		}
		parts = append(parts, p.parts...)
	}
	index, err := json.Marshal(parts)
	if err != nil {
		return 0, err
	}
	for name, b := range map[string][]byte{"index.js": slices.Concat([]byte("window.searchIndex="), index, []byte(";\n"))} {
		if err := write(out, name, b); err != nil {
			return 0, err
		}
	}
	for _, name := range []string{"style.css", "search.js"} {
		b, err := theme.ReadFile(name)
		if err != nil {
			return 0, err
		}
		if err := write(out, name, b); err != nil {
			return 0, err
		}
	}
	return len(pages), nil
}

var entry = regexp.MustCompile(`^- \[([^\]]+)\]\(([^)#]+)\)$`)

// contents reads the menu.
func contents(root string) ([]section, error) {
	b, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	if err != nil {
		return nil, err
	}
	var menu []section
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			menu = append(menu, section{Name: name})
		} else if m := entry.FindStringSubmatch(line); m != nil && len(menu) > 0 {
			file := path.Join("docs", m[2])
			at := strings.TrimPrefix(strings.TrimSuffix(file, ".md"), "docs/")
			at = strings.TrimSuffix(at, "/README") + ".html"
			s := &menu[len(menu)-1]
			s.Pages = append(s.Pages, &page{File: file, URL: at, Name: m[1]})
		}
	}
	if len(menu) == 0 {
		return nil, errors.New("docs/README.md has no sections")
	}
	return menu, nil
}

// complete checks that the menu has every page of docs.
func complete(root string, byFile map[string]*page) error {
	var missing []string
	for _, pattern := range []string{"*.md", "*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, "docs", filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			if name = filepath.ToSlash(name); byFile[name] == nil {
				missing = append(missing, name)
			}
		}
	}
	if missing != nil {
		return fmt.Errorf("docs/README.md has no link to %s", strings.Join(missing, ", "))
	}
	return nil
}

// read makes the page of its file, and returns the images it shows.
func (p *page) read(root string, byFile map[string]*page) (images []string, err error) {
	src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p.File)))
	if err != nil {
		return nil, err
	}
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	doc := md.Parser().Parse(text.NewReader(src), parser.WithContext(parser.NewContext(parser.WithIDs(&ids{}))))
	now := part{URL: p.URL}
	var words strings.Builder
	flush := func() {
		now.Page, now.Text = p.Title, strings.Join(strings.Fields(words.String()), " ")
		p.parts = append(p.parts, now)
		words.Reset()
	}
	err = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			if n.Type() == ast.TypeBlock {
				words.WriteByte(' ')
			}
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			title := plain(n, src)
			if n.Level == 1 {
				p.Title = title
				return ast.WalkSkipChildren, nil
			}
			flush()
			id, _ := n.AttributeString("id")
			now = part{Head: title, URL: p.URL + "#" + string(id.([]byte))}
			if n.Level == 2 {
				p.Heads = append(p.Heads, heading{string(id.([]byte)), title})
			}
			return ast.WalkSkipChildren, nil
		case *ast.Link:
			n.Destination = []byte(p.link(string(n.Destination), byFile))
		case *ast.Image:
			name := path.Join(path.Dir(p.File), string(n.Destination))
			images = append(images, name)
			n.Destination = []byte(strings.Repeat("../", strings.Count(p.URL, "/")) + image(name))
		case *ast.Text:
			words.Write(n.Segment.Value(src))
			if n.SoftLineBreak() {
				words.WriteByte(' ')
			}
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				words.Write(line.Value(src))
			}
			words.WriteByte(' ')
		case *ast.HTMLBlock: // what only machines read
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				if m := also.FindSubmatch(line.Value(src)); m != nil {
					now.Also = string(m[1])
				}
			}
			return ast.WalkSkipChildren, nil
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, err
	}
	flush()
	var b bytes.Buffer
	if err := md.Renderer().Render(&b, src, doc); err != nil {
		return nil, err
	}
	p.Body = template.HTML(decorate(b.String()))
	return images, nil
}

// link returns where a link of the page leads in the site.
func (p *page) link(to string, byFile map[string]*page) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Path == "" {
		return to
	}
	file := path.Join(path.Dir(p.File), u.Path)
	target := byFile[file]
	if target == nil {
		return source + file
	}
	at := strings.Repeat("../", strings.Count(p.URL, "/")) + target.URL
	if u.Fragment != "" {
		at += "#" + u.Fragment
	}
	return at
}

// also is a comment of a page with other names for what it, or what its last heading, is about.
var also = regexp.MustCompile(`^<!-- search: (.+) -->`)

// image is where the site has an image of the repository.
func image(name string) string { return "images/" + path.Base(name) }

func write(out, name string, b []byte) error {
	file := filepath.Join(out, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o666)
}

// plain returns the text of a heading.
func plain(n ast.Node, src []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Segment.Value(src))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// ids makes the anchors of headings as GitHub does, so that a link works there and here.
type ids struct{ used []string }

func (d *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	id := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, string(value))
	at := id
	for n := 1; slices.Contains(d.used, at); n++ {
		at = id + "-" + strconv.Itoa(n)
	}
	d.used = append(d.used, at)
	return []byte(at)
}

func (d *ids) Put(value []byte) { d.used = append(d.used, string(value)) }

var (
	comment = regexp.MustCompile(`(?s)<!--.*?-->\n?`)
	pair    = regexp.MustCompile(`(?s)<pre><code class="language-go">([^<]*)</code></pre>\s*<pre><code class="language-rust">([^<]*)</code></pre>`)
	block   = regexp.MustCompile(`(?s)<code class="language-(go|rust|sh|ts|python|json)">([^<]*)</code>`)
	title   = regexp.MustCompile(`<h([23]) id="([^"]+)">`)
	tokens  = regexp.MustCompile("(//[^\n]*|(?m:^|[ \t])#[ !][^\n]*)|(&quot;(?:\\\\.|[^\n])*?&quot;|`[^`]*`|'[^'\n]*')|\\b(async|await|break|case|catch|class|const|continue|def|default|defer|else|except|export|fn|for|from|func|go|if|impl|import|in|interface|let|loop|map|match|mod|mut|new|package|pub|raise|range|return|select|static|struct|switch|throw|try|type|use|var|where|while|with)\\b")
)

// decorate shows a block of Go and the block of Rust after it as two tabs, colours code, and gives headings a link.
func decorate(body string) string {
	body = comment.ReplaceAllString(body, "")
	body = pair.ReplaceAllString(body, `<div class="tabs"><div role="tablist"><button role="tab" data-lang="go">Go</button><button role="tab" data-lang="rust">Rust</button></div>`+
		`<pre data-lang="go"><code class="language-go">$1</code></pre><pre data-lang="rust"><code class="language-rust">$2</code></pre></div>`)
	body = block.ReplaceAllStringFunc(body, func(s string) string {
		m := block.FindStringSubmatch(s)
		code := tokens.ReplaceAllStringFunc(m[2], func(t string) string {
			g := tokens.FindStringSubmatch(t)
			switch {
			case g == nil:
				return t
			case g[1] != "" && (m[1] == "go" || m[1] == "rust" || m[1] == "ts") == strings.HasPrefix(g[1], "//"):
				return "<i>" + t + "</i>"
			case g[2] != "":
				return "<s>" + t + "</s>"
			case g[3] != "" && m[1] != "sh" && m[1] != "json":
				return "<b>" + t + "</b>"
			}
			return t
		})
		return `<code class="language-` + m[1] + `">` + code + "</code>"
	})
	body = strings.NewReplacer("<table>", `<div class="table"><table>`, "</table>", "</table></div>").Replace(body)
	return title.ReplaceAllString(body, `<h$1 id="$2"><a class="anchor" href="#$2" aria-label="Link to this heading">#</a>`)
}
