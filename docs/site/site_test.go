package main

import (
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// made builds the site and returns its files.
func made(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if _, err := build(filepath.Join("..", ".."), dir); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		files[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var (
	refers = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	anchor = regexp.MustCompile(`\bid="([^"]+)"`)
)

// TestLinksOfTheSiteResolve: every link within the site leads to a file, and to an anchor of it if it names one.
func TestLinksOfTheSiteResolve(t *testing.T) {
	files := made(t)
	anchors := map[string][]string{}
	for name, text := range files {
		for _, m := range anchor.FindAllStringSubmatch(text, -1) {
			anchors[name] = append(anchors[name], m[1])
		}
	}
	seen := 0
	for name, text := range files {
		if path.Ext(name) != ".html" {
			continue
		}
		for _, m := range refers.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.IsAbs() {
				continue
			}
			seen++
			to := name
			if u.Path != "" {
				to = path.Join(path.Dir(name), u.Path)
			}
			if _, there := files[to]; !there {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			} else if u.Fragment != "" && !slices.Contains(anchors[to], u.Fragment) {
				t.Errorf("%s links to %s, and there is no such anchor", name, m[1])
			}
		}
	}
	if seen < 1000 {
		t.Errorf("only %d links were found", seen)
	}
}

// TestTheSiteNeedsNoNetwork: pages load nothing from elsewhere.
func TestTheSiteNeedsNoNetwork(t *testing.T) {
	for name, text := range made(t) {
		if m := regexp.MustCompile(`(?:src="|<link[^>]*href="|url\(|fetch\()["']?https?:[^"')]*`).FindString(text); m != "" && name != "index.js" {
			t.Errorf("%s loads %s", name, m)
		}
	}
}

// TestSearchFindsCommonTerms: the words of other engines lead to the page about the topic.
func TestSearchFindsCommonTerms(t *testing.T) {
	text := made(t)["index.js"]
	var parts []part
	if err := json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimPrefix(text, "window.searchIndex="), ";\n")), &parts); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ term, page string }{
		{"activity", "guide/workflows.html"},
		{"signal", "guide/messages.html"},
		{"query", "guide/messages.html"},
		{"update", "guide/messages.html"},
		{"timer", "guide/timers.html"},
		{"child workflow", "guide/children.html"},
		{"saga", "guide/sagas.html"},
		{"compensation", "guide/sagas.html"},
		{"versioning", "guide/upgrading.html"},
		{"patching", "guide/upgrading.html"},
		{"task queue", "operate/limits.html"},
		{"virtual object", "guide/state.html"},
		{"awakeable", "guide/promises.html"},
		{"webhook", "guide/promises.html"},
		{"idempotency key", "guide/idempotency.html"},
		{"retry policy", "guide/http.html"},
		{"continue as new", "operate/configure.html"},
		{"cron", "guide/schedules.html"},
		{"dead letter", "operate/troubleshoot.html"},
	} {
		found := false
		for _, p := range parts {
			names := strings.ToLower(p.Page + " " + p.Head + " " + p.Also)
			found = found || strings.HasPrefix(p.URL, row.page) && strings.Contains(names, row.term)
		}
		if !found {
			t.Errorf("%q is no name of %s", row.term, row.page)
		}
	}
}
