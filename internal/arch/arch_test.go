package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/flawless-engine/flawless"

// allowed has, for each package, the packages of this module it may import, besides the root.
var allowed = []struct {
	pkg  string
	from []string
}{
	{".", nil},
	{"client", nil},
	{"client/ts", nil},
	{"internal/arch", nil},
	{"internal/effect", []string{"internal/effect/transport"}},
	{"internal/effect/transport", nil},
	{"internal/guest", []string{"internal/guest/cache", "internal/guest/memory", "internal/guest/rewrite", "internal/guest/symbol", "internal/guest/wasabi"}},
	{"internal/guest/cache", []string{"internal/guest/rewrite"}},
	{"internal/guest/memory", nil},
	{"internal/guest/rewrite", nil},
	{"internal/guest/symbol", []string{"internal/guest/rewrite"}},
	{"internal/guest/wasabi", []string{"internal/guest/rewrite"}},
	{"internal/store", []string{"internal/store/codec", "internal/store/damage", "internal/store/key", "internal/store/kv", "internal/store/merge", "internal/store/reindex", "internal/store/tally"}},
	{"internal/store/codec", nil},
	{"internal/store/damage", []string{"internal/store/key"}},
	{"internal/store/key", nil},
	{"internal/store/kv", []string{"internal/store/key"}},
	{"internal/store/reindex", []string{"internal/store/key", "internal/store/kv"}},
	{"internal/store/merge", []string{"internal/store/key", "internal/store/kv"}},
	{"internal/store/tally", []string{"internal/store/codec", "internal/store/key", "internal/store/kv"}},
	{"internal/store/mem", []string{"internal/store"}},
	{"internal/store/pebble", []string{"internal/store", "internal/errno"}},
	{"internal/store/postgres", []string{"internal/store"}},
	{"internal/store/postgres/pgtest", nil},
	{"internal/store/storetest", []string{"internal/store", "internal/store/key", "internal/store/mem", "internal/store/tally"}},
	{"internal/store/transfer", []string{"internal/store/kv", "internal/store", "internal/store/codec"}},
	{"internal/redact", nil},
	{"internal/brief", nil},
	{"internal/ring", nil},
	{"internal/bundle", []string{"internal/redact", "internal/store", "internal/store/codec"}},
	{"internal/cron", nil},
	{"internal/workdir", []string{"internal/errno"}},
	{"internal/vault", []string{"internal/store"}},
	{"internal/value", nil},
	{"internal/task", nil},
	{"internal/admit", []string{"internal/rpc", "internal/store", "internal/task"}},
	{"internal/cluster", []string{"internal/store"}},
	{"internal/ratelimit", []string{"internal/task"}},
	{"internal/statelock", []string{"internal/effect", "internal/rpc", "internal/store", "internal/task"}},
	{"internal/errand", []string{"internal/statelock"}},
	{"internal/borrow", []string{"internal/clock", "internal/core", "internal/effect", "internal/errand", "internal/rpc", "internal/statelock", "internal/store"}},
	{"internal/schedule", []string{"internal/cron", "internal/task"}},
	{"internal/hub", []string{"internal/task"}},
	{"internal/follow", []string{"internal/hub", "internal/lifecycle", "internal/rpc", "internal/store"}},
	{"internal/core", []string{"internal/effect", "internal/value"}},
	{"internal/clock", []string{"internal/store", "internal/task"}},
	{"internal/policy", []string{"internal/core", "internal/effect"}},
	{"internal/rpc", []string{"internal/store", "internal/store/codec"}},
	{"internal/upgrade", []string{"internal/effect", "internal/guest", "internal/lifecycle", "internal/replay", "internal/rpc", "internal/store"}},
	{"internal/residency", nil},
	{"internal/scrub", []string{"internal/store", "internal/task"}},
	{"internal/retention", []string{"internal/store"}},
	{"internal/promise", []string{"internal/effect", "internal/value"}},
	{"internal/doubt", []string{"internal/effect"}},
	{"internal/fork", []string{"internal/core", "internal/effect", "internal/guest", "internal/replay"}},
	{"internal/source", []string{"internal/guest/rewrite"}},
	{"internal/library", []string{"internal/guest", "internal/source", "internal/store", "internal/value"}},
	{"internal/replay", []string{"internal/core", "internal/effect", "internal/guest", "internal/redact", "internal/value"}},
	{"internal/lifecycle", []string{"internal/task"}},
	{"internal/live", []string{"internal/admit", "internal/clock", "internal/core", "internal/effect", "internal/guest", "internal/hub", "internal/library", "internal/lifecycle", "internal/policy", "internal/ratelimit", "internal/replay", "internal/residency", "internal/retention", "internal/ring", "internal/statelock", "internal/store", "internal/store/tally", "internal/task"}},
	{"internal/late", []string{"internal/live", "internal/rpc", "internal/store"}},
	{"internal/history", []string{"internal/core", "internal/live", "internal/ring", "internal/rpc", "internal/store"}},
	{"internal/view", []string{"internal/store"}},
	{"internal/stats", []string{"internal/lifecycle", "internal/store", "internal/store/tally"}},
	{"internal/examine", []string{"internal/effect", "internal/guest", "internal/library", "internal/replay", "internal/residency", "internal/source", "internal/store"}},
	{"internal/engine", []string{"internal/stats", "internal/admit", "internal/borrow", "internal/bundle", "internal/clock", "internal/core", "internal/doubt", "internal/effect", "internal/errand", "internal/examine", "internal/follow", "internal/fork", "internal/guest", "internal/history", "internal/hub", "internal/late", "internal/library", "internal/lifecycle", "internal/live", "internal/policy", "internal/promise", "internal/ratelimit", "internal/redact", "internal/replay", "internal/residency", "internal/retention", "internal/ring", "internal/rpc", "internal/schedule", "internal/scrub", "internal/statelock", "internal/store", "internal/task", "internal/upgrade", "internal/value", "internal/vault", "internal/view"}},
	{"internal/cargo", nil},
	{"internal/gobuild", nil},
	{"internal/tsbuild", nil},
	{"internal/tsbuild/preludebuild", nil},
	{"internal/tsbuild/gen", []string{"internal/tsbuild/preludebuild"}},
	{"internal/gosdk", nil},
	{"internal/errno", nil},
	{"internal/rusttest", []string{"internal/cargo"}},
	{"sdk/rust", nil},
	{"sdk/ts", nil},
	{"sdk/go", []string{"sdk/go/internal/abi", "sdk/go/internal/schema", "sdk/go/internal/site", "sdk/go/internal/turn", "sdk/go/internal/wire"}},
	{"sdk/go/nethttp", []string{"sdk/go"}},
	{"sdk/go/flawlesstest", nil},
	{"sdk/go/internal/wire", nil},
	{"sdk/go/internal/site", nil},
	{"sdk/go/internal/schema", []string{"sdk/go/internal/wire"}},
	{"sdk/go/internal/abi", []string{"sdk/go/internal/wire"}},
	{"sdk/go/internal/turn", []string{"sdk/go/internal/abi", "sdk/go/internal/wire"}},
	{"internal/rehearsal", []string{"internal/clock", "internal/effect", "internal/engine", "internal/value", "internal/guest", "internal/store", "internal/store/mem"}},
	{"internal/forward", []string{"internal/peer", "internal/reply", "internal/store"}},
	{"internal/peer", []string{"internal/store"}},
	{"internal/reply", []string{"internal/engine", "internal/store", "internal/value"}},
	{"internal/listen", []string{"internal/errno", "internal/reply"}},
	{"internal/budget", nil},
	{"internal/web", []string{"client", "internal/web/admin", "internal/web/chart", "internal/web/form", "internal/web/session", "internal/web/word"}},
	{"internal/web/admin", []string{"client", "internal/web/form", "internal/web/word"}},
	{"internal/web/chart", nil},
	{"internal/web/form", nil},
	{"internal/web/word", nil},
	{"internal/web/session", nil},
	{"internal/metrics", []string{"internal/engine"}},
	{"internal/server", []string{"internal/brief", "internal/budget", "internal/metrics", "internal/bundle", "internal/core", "internal/engine", "internal/errno", "internal/forward", "internal/peer", "internal/redact", "internal/replay", "internal/reply", "internal/schedule", "internal/source", "internal/store"}},
	{"cmd/flawless", []string{"client", "cmd/flawless/internal/browser", "cmd/flawless/internal/daemon", "cmd/flawless/internal/operate", "cmd/flawless/internal/terminal", "cmd/flawless/internal/examine", "cmd/flawless/internal/exit", "cmd/flawless/internal/flagset", "cmd/flawless/internal/flagvalue", "cmd/flawless/internal/outfile", "cmd/flawless/internal/local", "cmd/flawless/internal/project", "cmd/flawless/internal/render", "cmd/flawless/internal/endpoint", "cmd/flawless/internal/usage", "internal/effect", "internal/errno", "internal/guest", "internal/rehearsal", "internal/workdir", "internal/store/transfer"}},
	{"cmd/flawless/internal/terminal", []string{"client", "cmd/flawless/internal/endpoint", "cmd/flawless/internal/render"}},
	{"cmd/flawless/internal/operate", []string{"client", "cmd/flawless/internal/daemon", "cmd/flawless/internal/endpoint", "cmd/flawless/internal/exit", "cmd/flawless/internal/flagvalue", "cmd/flawless/internal/render", "cmd/flawless/internal/terminal", "cmd/flawless/internal/usage", "internal/store/transfer", "internal/workdir"}},
	{"cmd/flawless/internal/daemon", []string{"internal/cluster", "internal/effect", "internal/engine", "internal/errno", "internal/forward", "internal/guest", "internal/late", "internal/listen", "internal/peer", "internal/redact", "internal/ring", "internal/server", "internal/store", "internal/store/pebble", "internal/store/postgres", "internal/vault", "internal/web", "internal/web/session", "internal/workdir", "internal/store/transfer"}},
	{"cmd/flawless/internal/exit", []string{"client", "cmd/flawless/internal/daemon", "cmd/flawless/internal/endpoint", "internal/workdir"}},
	{"cmd/flawless/internal/usage", []string{"cmd/flawless/internal/exit"}},
	{"cmd/flawless/internal/flagvalue", []string{"cmd/flawless/internal/render"}},
	{"cmd/flawless/internal/flagset", []string{"client", "cmd/flawless/internal/flagvalue"}},
	{"cmd/flawless/internal/outfile", []string{"internal/errno"}},
	{"cmd/flawless/internal/browser", []string{"internal/web/session"}},
	{"cmd/flawless/internal/local", []string{"internal/bundle", "internal/guest", "internal/redact", "internal/replay", "internal/source"}},
	{"cmd/flawless/internal/project", []string{"internal/cargo", "internal/gobuild", "internal/gosdk", "internal/source", "internal/tsbuild", "sdk/rust", "sdk/ts"}},
	{"cmd/flawless/internal/examine", []string{"client"}},
	{"cmd/flawless/internal/render", nil},
	{"cmd/flawless/internal/endpoint", []string{"client", "internal/workdir"}},
	{"examples", nil},
	{"examples/wizard", []string{"sdk/js"}},
	{"sdk/js", nil},
	{"internal/browsertest", nil},
	{"demo", []string{"client", "demo/internal/shop"}},
	{"demo/console", []string{"client"}},
	{"demo/cluster", []string{"client", "internal/nodes", "demo/internal/shop", "internal/store/postgres/pgtest"}},
	{"demo/console", []string{"client"}},
	{"chaos", []string{"client", "internal/nodes", "internal/store/postgres/pgtest"}},
	{"internal/nodes", []string{"client"}},
	{"demo/internal/shop", nil},
	{"tools/console", nil},
	{"tools/release", nil},
	{"tools/screens", nil},
	{"tools/setup", nil},
	{"bench", []string{"client", "internal/rusttest", "internal/bundle", "internal/engine", "internal/effect", "internal/guest", "internal/replay", "internal/store", "internal/store/pebble", "internal/store/mem", "internal/store/postgres", "internal/store/postgres/pgtest"}},
}

// hidden has packages from outside that only one package of this module may import, because it hides them.
var hidden = []struct{ path, by string }{
	{"github.com/tetratelabs/wazero", "internal/guest"},
	{"github.com/ianlancetaylor/demangle", "internal/guest/symbol"},
	{"github.com/cockroachdb/pebble", "internal/store/pebble"},
	{"github.com/jackc/pgx", "internal/store/postgres"},
	{"github.com/danielgtaylor/huma", "internal/server"},
	{"github.com/adhocore/gronx", "internal/cron"},
	{"github.com/spf13/cobra", "cmd/flawless"},
	{"github.com/fxamacker/cbor", "internal/store/codec"},
	{"github.com/santhosh-tekuri/jsonschema", "internal/value"},
}

// besides has the other modules of this repository that follow the same rules. bench and tools have a go.mod of their own
// so that the product does not depend on their dependencies, sdk/go so that guests have none.
var besides = []string{"bench", "sdk/go", "tools"}

// packages returns the directories with Go files in this module and in besides, and the files of each.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && rel != "." && !slices.Contains(besides, rel) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			dir := filepath.ToSlash(filepath.Dir(rel))
			out[dir] = append(out[dir], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestImportsGoDownTheTable(t *testing.T) {
	t.Parallel()
	for pkg, files := range packages(t) {
		i := slices.IndexFunc(allowed, func(a struct {
			pkg  string
			from []string
		}) bool {
			return a.pkg == pkg
		})
		if i < 0 {
			t.Errorf("package %s is not in the table of imports", pkg)
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, im := range f.Imports {
				path := strings.Trim(im.Path.Value, `"`)
				if rel, own := strings.CutPrefix(path, module+"/"); own && !slices.Contains(allowed[i].from, rel) {
					t.Errorf("%s imports %s, which %s must not know", file, rel, pkg)
				}
				for _, h := range hidden {
					if strings.HasPrefix(path, h.path) && h.by != pkg && !slices.Contains([]string{"internal/store/postgres/pgtest", "cmd/flawless/internal/flagset", "cmd/flawless/internal/usage", "cmd/flawless/internal/terminal", "cmd/flawless/internal/operate", "bench"}, pkg) { // parts of them, and floors
						t.Errorf("%s imports %s, which %s hides", file, path, h.by)
					}
				}
				if pkg == "." && strings.Contains(path, ".") {
					t.Errorf("%s imports %s; the root uses the standard library alone", file, path)
				}
			}
		}
	}
}

func TestEveryPackageSaysOnceWhatItIs(t *testing.T) {
	t.Parallel()
	for pkg, files := range packages(t) {
		var docs []string
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				docs = append(docs, filepath.Base(file))
			}
		}
		if len(docs) != 1 {
			t.Errorf("package %s has a package comment in %d files %v, want exactly one", pkg, len(docs), docs)
		}
	}
}

// TestEntriesAreMadeInCore checks that only internal/core makes entries of logs.
func TestEntriesAreMadeInCore(t *testing.T) {
	t.Parallel()
	for pkg, files := range packages(t) {
		if pkg == "internal/core" {
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(pkg, "internal/store/storetest") || pkg == "bench" || strings.HasPrefix(pkg, "cmd/") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok || len(lit.Elts) == 0 {
					return true
				}
				typ := lit.Type
				if list, ok := typ.(*ast.ArrayType); ok {
					typ = list.Elt
				}
				if sel, ok := typ.(*ast.SelectorExpr); ok && sel.Sel.Name == "Entry" {
					if x, ok := sel.X.(*ast.Ident); ok && x.Name == "flawless" {
						if inner, ok := lit.Elts[0].(*ast.CallExpr); ok && inner != nil {
							return true // a list of entries that core has made
						}
						if _, ok := lit.Elts[0].(*ast.Ident); ok {
							return true
						}
						t.Errorf("%s makes an entry of a log; only internal/core does", fset.Position(lit.Pos()))
					}
				}
				return true
			})
		}
	}
}
