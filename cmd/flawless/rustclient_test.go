package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/flawless-engine/flawless/client"
	"github.com/flawless-engine/flawless/internal/rusttest"
)

// TestRustClient runs a program that uses flawless-client against the real server: typed starts, results, refusals,
// failures, messages and a cancellation, with a token.
func TestRustClient(t *testing.T) {
	t.Parallel()
	bin, err := rusttest.Build(filepath.Join("..", "..", "sdk", "rust", "guests", "plain"), rusttest.WASI)
	rusttest.Check(t, err)
	program, err := rusttest.Program(filepath.Join("testdata", "rustclient"))
	rusttest.Check(t, err)
	const token = "FLAWLESS_TOKEN=0123456789abcdef"
	p := newProcess(t, token)
	c, err := client.New(client.Options{Socket: "127.0.0.1:" + strconv.Itoa(p.port), NoQUIC: true, Token: "0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, _, err := c.AddModule(t.Context(), "plain", bin, nil); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "http://127.0.0.1:"+strconv.Itoa(p.port))
	cmd.Env = append(os.Environ(), token)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "done\n" {
		t.Errorf("%v: %s", err, out)
	}
}
