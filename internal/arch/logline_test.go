package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// quotedLine is a line of the server's log in the docs: "the server logs `text`", "the log says `text`".
var quotedLine = regexp.MustCompile("\\blogs? (?:then )?(?:says )?`([^`]+)`")

// TestQuotedLogLinesExist checks that each log line the docs quote is the message of a log call.
func TestQuotedLogLinesExist(t *testing.T) {
	t.Parallel()
	messages := logMessages(t)
	checked := 0
	for _, dir := range []string{"guide", "operate"} {
		pages, err := filepath.Glob(filepath.Join("..", "..", "docs", dir, "*.md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range quotedLine.FindAllSubmatch(text, -1) {
				if checked++; !messages[string(m[1])] {
					t.Errorf("%s quotes the log line %q, which no code logs", page, m[1])
				}
			}
		}
	}
	if checked < 3 {
		t.Errorf("only %d log lines were found in the docs", checked)
	}
}

// logMessages returns the constant messages that the product passes to a logger.
func logMessages(t *testing.T) map[string]bool {
	t.Helper()
	levels := map[string]bool{"Debug": true, "Info": true, "Warn": true, "Error": true}
	messages := map[string]bool{}
	for _, files := range packages(t) {
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) == 0 {
					return true
				}
				method, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !levels[method.Sel.Name] {
					return true
				}
				if lit, ok := call.Args[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						messages[text] = true
					}
				}
				return true
			})
		}
	}
	return messages
}
