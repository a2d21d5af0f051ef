package packages

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/sdk/go/flawlesstest"
)

var (
	row     = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]*) \\| (yes|no) \\| (.*) \\|$")
	fence   = regexp.MustCompile("(?ms)^```go\n(.*?)^```")
	refusal = regexp.MustCompile(`"([^"]+)"`)
)

// TestPackages tries what docs/guide/libraries.md says of each package, in both directions: every row of its tables for
// Go is tried, and everything that is tried has a row. The versions are those of go.mod.
func TestPackages(t *testing.T) {
	page, err := os.ReadFile("../../docs/guide/libraries.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = m[2:]
	}
	for _, dir := range []string{"standard", "libraries", "clients", "sockets"} {
		t.Run(dir, func(t *testing.T) {
			for name, problem := range try(t, dir) {
				r, there := rows[name]
				delete(rows, name)
				if !there {
					t.Errorf("%s has no row; it says %q", name, problem)
					continue
				}
				if version := r[0]; version != "" && !strings.Contains(string(mod), name+" "+version+"\n") {
					t.Errorf("%s: %s is not the version in go.mod", name, version)
				}
				if r[1] == "yes" && problem != "" {
					t.Errorf("%s should run: %s", name, problem)
				}
				if quoted := refusal.FindStringSubmatch(r[2]); r[1] == "no" && (quoted == nil || !strings.Contains(problem, quoted[1])) {
					t.Errorf("%s says %q, and the page %s", name, problem, r[2])
				}
			}
		})
	}
	for name := range rows {
		t.Errorf("%s has a row and is not tried", name)
	}
}

// TestSnippets: the page's examples are parts of the code that is built and run here.
func TestSnippets(t *testing.T) {
	page, err := os.ReadFile("../../docs/guide/libraries.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("clients/main.go")
	if err != nil {
		t.Fatal(err)
	}
	all := fence.FindAllStringSubmatch(string(page), -1)
	if len(all) < 5 {
		t.Errorf("the page has %d examples", len(all))
	}
	for _, m := range all {
		if !strings.Contains(string(code), m[1]) {
			t.Errorf("not in clients/main.go:\n%s", m[1])
		}
	}
}

// try runs the workflow of a folder and returns what each package had to say.
func try(t *testing.T, dir string) map[string]string {
	r := flawlesstest.Run(t, flawlesstest.Test{Module: dir, Workflow: "packages", Input: struct{}{}, Outside: http.HandlerFunc(outside),
		Secrets: map[string]string{"STRIPE_KEY": "sk_test_1", "SLACK_TOKEN": "xoxb-1234", "GITHUB_TOKEN": "github_1", "OPENAI_KEY": "sk-12345", "OAUTH_SECRET": "sesame-1"}})
	var got map[string]string
	r.Into(t, &got)
	return got
}

// outside answers as the services do.
func outside(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Idempotency-Key") == "" {
		http.Error(w, "this did not come from the engine", http.StatusTeapot)
		return
	}
	answers := map[string]string{
		"api.stripe.com":                 `{"id":"pi_1","object":"payment_intent"}`,
		"slack.com":                      `{"ok":true,"channel":"C1","ts":"1.2"}`,
		"api.github.com":                 `{"number":1,"html_url":"https://github.com/ann/shop/issues/1"}`,
		"api.openai.com":                 `{"choices":[{"message":{"role":"assistant","content":"three"}}]}`,
		"graphql.example":                `{"data":{"apples":3}}`,
		"oauth.example":                  `{"access_token":"t1","token_type":"bearer"}`,
		"sqs.eu-central-1.amazonaws.com": `{"MessageId":"m1","MD5OfMessageBody":"76e084771e78c194efd0e2d5b8920bea"}`,
		"stock.example":                  `{"id":"apples","count":3}`,
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Host == "stock.example" || r.Host == "api.github.com" {
		w.WriteHeader(http.StatusCreated)
	}
	fmt.Fprint(w, answers[r.Host])
}
