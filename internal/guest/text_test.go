package guest

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/texts.txt")

// TestTextsOfFaultsAreStable compares the texts of errors that package wasabi gives to the code with those in
// testdata/texts.txt. Replay compares what the code does with them, so a text that was released can never change. The
// failures that end a run by themselves (traps, limits) are compared by their kind alone.
func TestTextsOfFaultsAreStable(t *testing.T) {
	t.Parallel()
	file := filepath.Join("testdata", "texts.txt")
	texts := faultTexts(t, "wasabi")
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(texts, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, text := range known {
		if !slices.Contains(texts, text) {
			t.Errorf("the text %s is gone, but logs have it: restore it", text)
		}
	}
	for _, text := range texts {
		if !slices.Contains(known, text) {
			t.Errorf("the text %s is new: add it to %s with -update", text, file)
		}
	}
	if len(texts) < 5 {
		t.Errorf("only %d texts were found", len(texts))
	}
}

// faultTexts returns the string literals in arguments of fail, and in literals of transport errors, sorted.
func faultTexts(t *testing.T, dirs ...string) (texts []string) {
	collect := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, " ") {
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, strconv.Quote(text))
			}
			return true
		})
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if nameOf(n.Fun) == "fail" {
						collect(n)
						return false
					}
				case *ast.CompositeLit:
					if nameOf(n.Type) == "transport" {
						collect(n)
						return false
					}
				}
				return true
			})
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// nameOf returns the last name of an expression, such as Failure for flawless.Failure.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
