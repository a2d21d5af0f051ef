package key_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/store/key"
)

// declared returns the constants of type Family, and the comment of the type.
func declared(t *testing.T) (families map[string]key.Family, doc string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "family.go", nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	families = map[string]key.Family{}
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		if gen.Tok == token.TYPE {
			doc = gen.Doc.Text()
		}
		for _, s := range gen.Specs {
			v, ok := s.(*ast.ValueSpec)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			value, _, _, err := strconv.UnquoteChar(strings.Trim(v.Values[0].(*ast.BasicLit).Value, "'"), '\'')
			if err != nil {
				t.Fatal(err)
			}
			families[v.Names[0].Name] = key.Family(value)
		}
	}
	return families, doc
}

func TestFamiliesAreComplete(t *testing.T) {
	t.Parallel()
	all := key.Families()
	slices.Sort(all)
	if once := slices.Compact(slices.Clone(all)); len(once) != len(all) {
		t.Errorf("Families has one twice: %c", all)
	}
	names, _ := declared(t)
	var want []key.Family
	for _, f := range names {
		want = append(want, f)
	}
	slices.Sort(want)
	if !slices.Equal(all, want) {
		t.Errorf("Families has  %c\nthere are     %c", all, want)
	}
	for _, f := range all {
		if got, want := key.IsIndex(f.Key()), slices.Contains(key.Indexes(), f); got != want {
			t.Errorf("IsIndex of family %c is %v, but Indexes has it: %v", f, got, want)
		}
	}
	if key.IsIndex(nil) {
		t.Error("the empty key belongs to an index")
	}
}

// TestFamiliesAreDocumented in the comment of Family and in the docs.
func TestFamiliesAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "internals", "formats.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, doc := declared(t)
	row := regexp.MustCompile(`(?m)^\t?([A-Za-z]) `)
	want := key.Families()
	slices.Sort(want)
	for where, text := range map[string]string{"the comment of Family": doc, "docs/internals/formats.md": string(page)} {
		_, text, found := strings.Cut(text, "family    key ")
		text, _, ends := strings.Cut(text, "shard     one byte")
		var got []key.Family
		for _, m := range row.FindAllStringSubmatch(text, -1) {
			got = append(got, key.Family(m[1][0]))
		}
		slices.Sort(got)
		if !found || !ends || !slices.Equal(got, want) {
			t.Errorf("%s lists the families\n%c, want\n%c", where, got, want)
		}
	}
}
