package examples

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
)

// services starts the services of an example and returns their address.
func services(t *testing.T, name string, flags ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "services")
	build := exec.Command("go", "build", "-o", bin, "./services")
	build.Dir = name
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(bin, append([]string{"--addr", "127.0.0.1:0"}, flags...)...)
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	in := bufio.NewReader(said)
	line, err := in.ReadString('\n')
	_, at, found := strings.Cut(strings.TrimSpace(line), "http://")
	if err != nil || !found {
		t.Fatalf("the services said %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	return "http://" + at
}

// TestExamplesStartTheirServices runs what the READMEs of the examples show.
func TestExamplesStartTheirServices(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		last string // service that is called last
		in   map[string]any
	}{
		{"checkout", "shipments", map[string]any{"id": "1", "item": "book", "quantity": 1, "card": "tok_1", "cents": 1999}},
		{"travel", "cars", map[string]any{"id": "t1", "to": "Lisbon"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bin := build(t, row.name)
			row.in["services"] = services(t, row.name)
			if r := run(t, open(t, row.name, bin, real()), row.name, row.in); r.Status != flawless.Completed {
				t.Errorf("it is %s: %+v", r.Status, r.Failure)
			}
			row.in["services"] = services(t, row.name, "--fail", row.last)
			r := run(t, open(t, row.name, bin, real()), row.name, row.in)
			if r.Status != flawless.Failed || !strings.Contains(r.Failure.Message, "409") {
				t.Errorf("with a service that refuses it is %s: %+v", r.Status, r.Failure)
			}
		})
	}
}
