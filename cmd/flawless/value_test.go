package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/flagvalue"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/outfile"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
)

// TestInvalidFlagValuesAreUsageErrors gives every flag for a number, a duration, a size or a time of every command
// values that it must refuse. The command ends with exit code 2 before it connects, and the message names the flag in its
// own words: it has no value that only the API knows, such as -1 for the default, and suggests no value that the flag
// refuses.
func TestInvalidFlagValuesAreUsageErrors(t *testing.T) {
	t.Setenv("FLAWLESS_SOCKET", "")
	t.Setenv("FLAWLESS_WORKING_DIR", t.TempDir()) // without a server
	invalid := map[string][]string{
		"int":      {"x", "1.5", "-2147483648", "2147483648", "99999999999999999999"},
		"uint64":   {"x", "1.5", "-1", "99999999999999999999"},
		"duration": {"x", "5", "-1", "-1s", "-9999999999h", "1ns", "106752d", "9223372036854775807ns", "9999999999h"},
		"size":     {"x", "-1", "1.5GiB", "9999999999GiB"},
		"time":     {"x", "-1", "0"},
	}
	limits := regexp.MustCompile(`is not a whole number from (-?\d+) to (\d+)`)
	tried := 0
	call := func(path []string, f *pflag.Flag, value string) string {
		t.Helper()
		tried++
		var out bytes.Buffer
		args := append(slices.Clone(path), "--"+f.Name+"="+value)
		code := run(t.Context(), args, strings.NewReader(""), &out, &out)
		first, _, _ := strings.Cut(out.String(), "\n")
		if code != 2 || !strings.HasPrefix(first, "flawless: --"+f.Name) || !strings.Contains(first, strconv.Quote(value)) {
			t.Errorf("%v: exit code %d, %s", args, code, out.String())
		}
		if rest := strings.ReplaceAll(first, strconv.Quote(value), ""); f.Value.Type() == "duration" && regexp.MustCompile(`-\d|\d+ ?ms\b`).MatchString(strings.ReplaceAll(rest, "at least 1ms", "")) {
			t.Errorf("%v: %s", args, first)
		}
		return first
	}
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		for _, sub := range c.Commands() {
			walk(sub, append(slices.Clone(path), sub.Name()))
		}
		check := func(f *pflag.Flag) {
			kind := f.Value.Type()
			if _, ours := f.Value.(*flagvalue.Int); strings.Contains(kind, "int") && !ours && kind != "uint64" {
				t.Errorf("%v --%s has no limits; use flagvalue.NewInt", path, f.Name)
			}
			for _, value := range invalid[kind] {
				if f.Name == "turn-units" && value == "2147483648" { // it takes larger numbers than the others
					continue
				}
				text := call(path, f, value)
				_, such, _ := strings.Cut(text, "use a value such as ")
				for value := range strings.SplitSeq(strings.ReplaceAll(such, " or ", ", "), ", ") {
					if value != "" && f.Value.Set(value) != nil {
						t.Errorf("%v --%s: %s", path, f.Name, text)
					}
				}
			}
			if kind != "int" {
				return
			}
			all := limits.FindStringSubmatch(call(path, f, "x"))
			if all == nil {
				t.Errorf("%v --%s does not name its limits", path, f.Name)
				return
			}
			lowest, _ := strconv.Atoi(all[1])
			highest, _ := strconv.Atoi(all[2])
			call(path, f, strconv.Itoa(lowest-1))
			call(path, f, strconv.Itoa(highest+1))
			if f.Value.Set(all[1]) != nil || f.Value.Set(all[2]) != nil {
				t.Errorf("%v --%s refuses its own limits %v", path, f.Name, all[1:])
			}
		}
		if len(path) > 0 {
			c.LocalFlags().VisitAll(check)
		}
		c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
			if len(path) == 1 {
				check(f)
			}
		})
	}
	walk((&app{new(terminal.Terminal)}).root(), nil)
	if tried < 500 {
		t.Errorf("only %d values were tried", tried)
	}
}

// TestInvalidAddressesAreUsageErrors: a server must not start, and no command connect, with an address that cannot be
// meant.
func TestInvalidAddressesAreUsageErrors(t *testing.T) {
	t.Setenv("FLAWLESS_SOCKET", "")
	t.Setenv("FLAWLESS_WORKING_DIR", t.TempDir())
	for _, row := range []struct{ args, want string }{
		{"up --port 99999", "--port"},
		{"up --port -1", "--port"},
		{"up --socket localhost", "localhost"},
		{"up --socket localhost:99999", "99999"},
		{"up --socket localhost:-1", "-1"},
		{"up --socket localhost:http", "http"},
		{"up --bind localhost:99999", "99999"},
		{"up --bind a/b", "a/b"},
		{"up --bind 192.0.2.1", "192.0.2.1 is not an address of this machine"},
		{"up --bind host.invalid", "there is no host \"host.invalid\""},
		{"up --public-url x", "--public-url"},
		{"up --public-url http://x/y?z", "without user, query and fragment"},
		{"up --public-url http://x/y?", "without user, query and fragment"},
		{"up --public-url http://x/#y", "without user, query and fragment"},
		{"up --public-url http://ann:secret@x", "http://ann:xxxxx@x"},
		{"up --proxy ftp://x", "give http://HOST:PORT"},
		{"up --no-proxy x", "--no-proxy"},
		{"up --redact x", "use header:NAME"},
		{"up --allow-host a/b", "a/b"},
		{"up --allow-host http://x", "--allow-host"},
		{"up --turn-units 0x10", "--turn-units: \"0x10\" is not a whole number from 0 to"},
		{"up --retry-for default", "use a value such as 30s, 12h, 7d, 0 or none"},
		{"up --memory -1", "0 is unlimited"},
		{"schedule add a b c --cron @daily --overlap SKIP", "--overlap is \"SKIP\"; use skip, queue, allow or cancel"},
		{"workflow list --status x", "--status is \"x\"; use pending, running"},
		{"workflow cancel --status x", "--status is \"x\"; use pending, running"},
		{"limit set h -1/s", "there is no option -1"},
		{"schedule add a b c", "flawless schedule add --help"},
		{"workflow resolve p1", "flawless workflow resolve --help"},
		{"workflow list nope", "flawless workflow list takes no arguments, and \"nope\" is one"},
		{"version x", "flawless version takes no arguments"},
		{"up x", "flawless up takes no arguments"},
		{"store check extra", "flawless store check takes no arguments"},
		{"completion nope", "flawless completion"},
		{"completion bash x", "flawless completion bash takes no arguments"},
		{"up --ca /dev/null", "/dev/null"},
		{"version --socket localhost:99999", "99999"},
		{"version --socket localhost:99999 --port 1", "99999"},
		{"version --socket localhost", "localhost"},
	} {
		var out bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second) // up would run until then
		if code := run(ctx, strings.Fields(row.args), strings.NewReader(""), &out, &out); code != 2 || !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: exit code %d, %s", row.args, code, out.String())
		}
		stop()
	}
}

// TestUnusableFilesAreUsageErrors gives every command that reads or writes a file one in a directory that does not exist.
// The exit code is the same for all of them, and the message names the file. Files that commands need a server for are
// in testdata/script/bad.txtar.
func TestUnusableFilesAreUsageErrors(t *testing.T) {
	t.Setenv("FLAWLESS_SOCKET", "")
	t.Setenv("FLAWLESS_WORKING_DIR", t.TempDir()) // without a server
	good := filepath.Join(t.TempDir(), "good.wasm")
	if err := os.WriteFile(good, []byte("\x00asm"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"up --ca NONE", "version --token-file NONE", "workflow start m w --input @NONE", "workflow send a b @NONE", "module add x NONE", "deploy NONE",
		"workflow fork a --turn 1 --answer 1=NONE", "workflow fork a --turn 1 --module NONE", "workflow resolve a --call 1 --response NONE",
		"check --module NONE x", "check --module GOOD NONE", "test NONE w", "test GOOD w --answers NONE", "test GOOD w --secret A=@NONE", "build NONE",
		"replay a --module NONE", "workflow trace a --module NONE", "workflow import NONE", "secret set A --host a --file NONE",
	} {
		const none = "/nonexistent/file"
		var out bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		line := strings.NewReplacer("NONE", none, "GOOD", good).Replace(args)
		if code := run(ctx, strings.Fields(line), strings.NewReader(""), &out, &out); code != 2 || !strings.Contains(out.String(), none) {
			t.Errorf("%s: exit code %d, %s", args, code, out.String())
		}
		stop()
	}
}

// TestUnwritableFileIsUsageError: the message names the file of the user, and no other.
func TestUnwritableFileIsUsageError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "none", "x")
	_, err := outfile.Write(file, func(io.Writer) error { return nil })
	if !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), ".part-") {
		t.Errorf("an export: %v", err)
	}
	if err := (&app{new(terminal.Terminal)}).writeProfile(file, flawless.Trace{}); !errors.Is(err, flawless.Invalid) || !strings.Contains(err.Error(), file) {
		t.Errorf("a profile: %v", err)
	}
}
