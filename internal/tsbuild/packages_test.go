package tsbuild_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/rehearsal"
	"github.com/flawless-engine/flawless/internal/tsbuild"
)

// installed installs the npm packages that the lock file of a folder names, once, and skips the test without npm.
func installed(t *testing.T, dir string) {
	t.Helper()
	if slices.Contains(strings.Fields(os.Getenv("FLAWLESS_TEST_WITHOUT")), "node") {
		t.Skip("left out: there is no npm")
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(dir, "node_modules", ".lock")
	if done, err := os.ReadFile(mark); err == nil && string(done) == string(lock) {
		return
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(mark, lock, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPackages runs a workflow with each of the packages in testdata/packages, and compares its output and what it asked for.
// Their versions are in package.json there.
func TestPackages(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs(filepath.Join("testdata", "packages"))
	if err != nil {
		t.Fatal(err)
	}
	installed(t, dir)
	for name, row := range map[string]struct {
		output   string
		requests []string
	}{
		"zod":      {`{"id":"o-1","issues":["id","amount"]}`, nil},
		"date-fns": {`["2026-02-02","1. März"]`, nil},
		"uuid":     {`"e1407479-3136-56c0-9908-bb02fb0339e2"`, nil},
		"nanoid":   {"21", nil},
		"jose":     {`"ann"`, nil},
		"hono":     {"200", []string{"POST https://api.example/orders"}},
		"axios":    {`"/axios"`, []string{"POST https://api.example/axios"}},
		"stripe":   {`"/v1/charges"`, []string{"POST https://api.stripe.com/v1/charges"}},
		"openai":   {`"/v1/chat/completions"`, []string{"POST https://api.openai.com/v1/chat/completions"}},
		"aws":      {`[200,"GET"]`, []string{"PUT https://s3.eu-central-1.amazonaws.com/b/k.txt?x-id=PutObject", "GET https://s3.eu-central-1.amazonaws.com/b/k.txt?x-id=GetObject"}},
		"ai":       {`"AI_APICallError"`, []string{"POST https://api.openai.com/v1/chat/completions"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, err := os.ReadFile(filepath.Join(dir, name+".ts"))
			if err != nil {
				t.Fatal(err)
			}
			own := project(t, map[string]string{"shop.ts": string(code)})
			if err := os.Symlink(filepath.Join(dir, "node_modules"), filepath.Join(own, "node_modules")); err != nil {
				t.Skipf("left out: %v", err) // Windows lets few people make links
			}
			b, err := tsbuild.Build(t.Context(), own)
			if err != nil {
				t.Fatal(err)
			}
			o := options(t, b.Module, name, `{"id":"o-1","amount":5}`)
			o.Outside = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(map[string]string{"method": r.Method, "path": r.URL.Path})
			})
			r, err := rehearsal.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Run.Output) != row.output {
				t.Errorf("the output is %s, want %s; %+v", r.Run.Output, row.output, r.Run.Failure)
			}
			var asked []string
			for _, q := range r.Requests {
				asked = append(asked, fmt.Sprintf("%s %s", q.Method, q.URL))
			}
			if !slices.Equal(asked, row.requests) {
				t.Errorf("it asked for %q, want %q", asked, row.requests)
			}
		})
	}
}
