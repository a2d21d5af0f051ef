package flawless

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestStoredFieldsHaveKeysOfTheirOwn checks that no two fields of a type are stored under the same number: the encoder leaves
// both out then, and says nothing.
func TestStoredFieldsHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	types := 0
	check := func(path string) error {
		f, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			types++
			taken := map[string]bool{}
			for _, field := range s.Fields.List {
				if field.Tag == nil {
					continue
				}
				key, _, numbered := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("cbor"), ",keyasint")
				if numbered && taken[key] {
					t.Errorf("%s: two fields have the number %s", files.Position(field.Pos()), key)
				}
				taken[key] = true
			}
			return true
		})
		return nil
	}
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		return check(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	if types < 200 {
		t.Errorf("only %d types were looked at", types)
	}
}
