package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestTimesAreFormattedInOnePlace: any other code might omit the zone or the date.
func TestTimesAreFormattedInOnePlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	inner, e := filepath.Glob(filepath.Join("internal", "*", "*.go"))
	if files = append(files, inner...); err != nil || e != nil || len(inner) == 0 {
		t.Fatal(files, err, e)
	}
	for _, name := range files {
		if filepath.Base(name) == "time.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "Format" || s.Sel.Name == "AppendFormat") {
				t.Errorf("%s: use render.Time", set.Position(s.Pos()))
			}
			return true
		})
	}
}
