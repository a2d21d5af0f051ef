package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless/internal/rusttest"
)

// TestFirstStepsWorkAsPrinted follows README.md and docs/quickstart.md as a reader does: it creates a project, puts the
// printed code where the page says, and runs the commands that the page prints for it.
func TestFirstStepsWorkAsPrinted(t *testing.T) {
	t.Parallel()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		page, lang, file string
		needs            func() error
		create           []string // as the page prints it
		merge            func(t *testing.T, generated, printed string) string
		prepare          string // printed on the page; run by a shell
		commands         []string
		want             string // in the output of the last command
	}{
		"quickstart in Go": {
			page: "docs/quickstart.md", lang: "go", file: "main.go", create: []string{"new", "shop"}, merge: whole,
			commands: []string{"flawless build", "go test"}, want: "ok",
		},
		"quickstart in Rust": {
			page: "docs/quickstart.md", lang: "rust", file: "src/lib.rs", needs: func() error { return rusttest.Needs("rust") },
			create: []string{"new", "shop", "--lang", "rust"}, merge: aboveTests,
			commands: []string{"flawless build", "cargo test"}, want: "1 passed",
		},
		"readme": {
			page: "README.md", lang: "go", file: "main.go", create: []string{"new", "checkout"}, merge: whole,
			prepare:  `echo '[{"url":"https://*.example/*","body":{}}]' > answers.json`,
			commands: []string{"rm main_test.go", "go vet ./...", "flawless test . checkout --input '{\"card\":\"4711\"}' --answers answers.json"}, want: `"reviewed"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if row.needs != nil {
				rusttest.Check(t, row.needs())
			}
			text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(row.page)))
			if err != nil {
				t.Fatal(err)
			}
			page := string(text)
			at := t.TempDir()
			shell := func(command string) string {
				t.Helper()
				c := exec.CommandContext(t.Context(), "sh", "-c", command)
				c.Dir = at
				c.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "GOWORK=off")
				if row.lang == "rust" {
					target, err := rusttest.TargetDir("-first-steps")
					if err != nil {
						t.Fatal(err)
					}
					env, err := rusttest.Environment()
					if err != nil {
						t.Fatal(err)
					}
					c.Env = append(append(c.Env, env...), "CARGO_TARGET_DIR="+target)
				}
				out, err := c.CombinedOutput()
				if err != nil {
					t.Fatalf("%s: %v\n%s", command, err, out)
				}
				return string(out)
			}
			printed := func(text string) {
				t.Helper()
				if !strings.Contains(page, text) {
					t.Errorf("%s does not print %q", row.page, text)
				}
			}
			printed("flawless " + strings.Join(row.create[:2], " "))
			shell("flawless " + strings.Join(row.create, " "))
			at = filepath.Join(at, row.create[1])
			block := regexp.MustCompile("(?ms)^```" + row.lang + "\n(.*?)^```$").FindStringSubmatch(page)
			if block == nil {
				t.Fatalf("%s has no code in %s", row.page, row.lang)
			}
			file := filepath.Join(at, filepath.FromSlash(row.file))
			generated, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(row.merge(t, string(generated), block[1])), 0o666); err != nil {
				t.Fatal(err)
			}
			if row.prepare != "" {
				printed(row.prepare)
				shell(row.prepare)
			}
			out := ""
			for _, c := range row.commands {
				if strings.HasPrefix(c, "flawless test") {
					printed(c)
				}
				out = shell(c)
			}
			if !strings.Contains(out, row.want) {
				t.Errorf("%s prints %s, want %s", row.commands[len(row.commands)-1], out, row.want)
			}
		})
	}
}

// whole replaces a generated file.
func whole(_ *testing.T, _, printed string) string { return printed }

// aboveTests replaces what a generated file in Rust has above its tests.
func aboveTests(t *testing.T, generated, printed string) string {
	t.Helper()
	_, tests, ok := strings.Cut(generated, "#[cfg(test)]")
	if !ok {
		t.Fatal("the generated file has no tests")
	}
	return printed + "\n#[cfg(test)]" + tests
}
