package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestExportedNamesAreDocumented checks that each exported name has a comment, which is its contract. Members of a group
// of constants, variables or fields may share one.
func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, files := range packages(t) {
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Name.Name == "main" {
				continue // nobody imports it
			}
			for _, d := range f.Decls {
				for _, id := range undocumented(d) {
					t.Errorf("%s: %s is exported and has no comment", fset.Position(id.Pos()), id.Name)
				}
			}
		}
	}
}

func undocumented(d ast.Decl) (ids []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !obvious[d.Name.Name] {
			ids = append(ids, d.Name)
		}
	case *ast.GenDecl:
		documented := d.Doc != nil // or one before it in its group
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					ids = append(ids, s.Name)
				}
			case *ast.ValueSpec:
				documented = documented || s.Doc != nil
				if s.Names[0].IsExported() && !documented && s.Comment == nil {
					ids = append(ids, s.Names[0])
				}
			}
		}
	}
	return ids
}

// obvious has methods whose contract is that of the interface they implement.
var obvious = map[string]bool{"Error": true, "Unwrap": true, "String": true, "Len": true, "Less": true, "Swap": true, "Push": true, "Pop": true,
	"Read": true, "Write": true, "Close": true, "MarshalJSON": true, "UnmarshalJSON": true, "MarshalText": true, "UnmarshalText": true, "RoundTrip": true}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	of := d.Recv.List[0].Type
	if p, ok := of.(*ast.StarExpr); ok {
		of = p.X
	}
	if x, ok := of.(*ast.IndexExpr); ok {
		of = x.X
	}
	id, ok := of.(*ast.Ident)
	return ok && id.IsExported()
}
