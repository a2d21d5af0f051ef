package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flawless-engine/flawless/cmd/flawless/internal/terminal"
	"github.com/flawless-engine/flawless/cmd/flawless/internal/usage"
)

// TestEmptyFlagsAndArgumentsAreRejected calls every command with each of its flags and arguments empty, as a
// script does if a variable is not set.
func TestEmptyFlagsAndArgumentsAreRejected(t *testing.T) {
	t.Setenv("FLAWLESS_SOCKET", "")
	t.Setenv("FLAWLESS_WORKING_DIR", t.TempDir()) // without a server: a command that gets as far as connecting has another exit code
	call := func(args ...string) (int, string) {
		var out bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second) // up would run until then
		defer stop()
		return run(ctx, args, strings.NewReader(""), &out, &out), out.String()
	}
	flags, arguments := 0, 0
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		for _, sub := range c.Commands() {
			walk(sub, append(slices.Clone(path), sub.Name()))
		}
		if len(path) == 0 {
			return
		}
		c.InitDefaultHelpFlag()
		visit := func(f *pflag.Flag) {
			if slices.Contains(usage.MayBeEmpty, f.Name) && f.Value.Type() == "string" {
				return
			}
			flags++
			if code, text := call(append(slices.Clone(path), "--"+f.Name+"=")...); code != 2 || !strings.Contains(text, "--"+f.Name+" is empty; give it a value or omit it") {
				t.Errorf("%s --%s= : exit code %d, %s", strings.Join(path, " "), f.Name, code, text)
			}
		}
		c.LocalFlags().VisitAll(visit)
		c.InheritedFlags().VisitAll(visit)
		if c.Args == nil {
			t.Errorf("%s does not declare its arguments", strings.Join(path, " "))
			return
		}
		for n := 1; n <= 3; n++ {
			code, text := call(append(slices.Clone(path), make([]string, n)...)...)
			if code != 2 {
				t.Errorf("%s with %d empty arguments: exit code %d, %s", strings.Join(path, " "), n, code, text)
			}
			if strings.Contains(text, "argument 1 is empty") {
				arguments++
			}
		}
	}
	walk((&app{new(terminal.Terminal)}).root(), nil)
	if flags < 300 || arguments < 30 {
		t.Errorf("%d flags and %d arguments were tried", flags, arguments)
	}
}

// TestFlagErrorsSayWhatToGive: no error quotes one of Go's parsers.
func TestFlagErrorsSayWhatToGive(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ command, flag, want string }{
		{"workflow resolve", "--call=x", `--call: "x" is not a whole number from 1 to 2147483647`},
		{"workflow resolve", "--call=2.5", `--call: "2.5" is not a whole number from 1 to 2147483647`},
		{"workflow resolve", "--call=99999999999999999999", `--call: "99999999999999999999" is not a whole number from 1 to 2147483647`},
		{"workflow resolve", "--retry=maybe", `--retry is "maybe"; give true or false`},
	} {
		var out bytes.Buffer
		args := append(strings.Fields(row.command), "id", row.flag)
		if code := run(t.Context(), args, strings.NewReader(""), &out, &out); code != 2 || !strings.Contains(out.String(), row.want) || strings.Contains(out.String(), "strconv") {
			t.Errorf("%s %s: exit code %d, %s, want %s", row.command, row.flag, code, out.String(), row.want)
		}
	}
}
