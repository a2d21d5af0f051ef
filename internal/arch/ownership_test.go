package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// retired has verbs that the six of live.Registry have replaced.
var retired = []string{"aside", "detach", "drop", "forget", "hold", "leave", "letGo", "LetGo", "part", "rest", "setAside", "settle", "takeBack", "touch", "unpark"}

// TestOwnershipOfRunsHasSixVerbs checks that functions for the ownership of runs use the verbs acquire, retain, release,
// seize, evict and quarantine, and no others.
func TestOwnershipOfRunsHasSixVerbs(t *testing.T) {
	t.Parallel()
	all := packages(t)
	for _, pkg := range []string{"internal/live", "internal/residency", "internal/engine"} {
		if len(all[pkg]) == 0 {
			t.Errorf("there is no package %s", pkg)
		}
		for _, file := range all[pkg] {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && slices.Contains(retired, fn.Name.Name) {
					t.Errorf("%s has a function %s: use one of the verbs of live.Registry", file, fn.Name.Name)
				}
			}
		}
	}
}
