package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

var processor = flag.String("processor", runtime.GOARCH, "run TestAnotherProcessGivesTheSameBits on this one, emulated")

// bitsOf is an environment variable with the file of a guest. A test process that finds it prints the bits of the
// guest and does nothing else.
const bitsOf = "FLAWLESS_TEST_BITS_OF"

// bits are the hashes of a guest's memory after each turn of some runs, for each WebAssembly engine.
type bits struct {
	Processor string
	Hashes    map[string][]string // by engine
}

func bitsOfGuest(ctx context.Context, bin []byte) (b bits, err error) {
	b = bits{runtime.GOARCH, map[string][]string{}}
	for engine, o := range map[string]Options{"compiler": {}, "interpreter": {Interpreter: true}} {
		r, err := NewRuntime(ctx, o)
		if err != nil {
			return b, err
		}
		m, err := r.Load(ctx, bin, nil)
		if err != nil {
			return b, errors.Join(err, r.Close(ctx))
		}
		runs := []string{"fan", "early fan", "random", "floats"}
		if !o.Interpreter { // the interpreter's own limit is 2,000 calls, below ours
			runs = append(runs, "deep")
		}
		for _, run := range runs {
			hashes, err := bitsOfRun(ctx, m, run)
			if err != nil {
				return b, errors.Join(err, r.Close(ctx))
			}
			b.Hashes[engine] = append(b.Hashes[engine], hashes...)
		}
		if err := errors.Join(m.Close(ctx), r.Close(ctx)); err != nil {
			return b, err
		}
	}
	return b, nil
}

func bitsOfRun(ctx context.Context, m *Module, run string) (out []string, err error) {
	i, err := m.Start(ctx, Start{Run: "wkf_1", Module: "basic", Workflow: "w", Input: []byte(`"` + run + `"`), Seed: bytes.Repeat([]byte{7}, 32), Time: began})
	if err != nil {
		return nil, err
	}
	defer i.Release()
	in := In{Time: began}
	for n := range 20 {
		o, err := i.Turn(ctx, in)
		if err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("%s, turn %d: cost %d, memory %x", run, n+1, o.Cost, i.Hash()))
		if o.Ended != nil {
			end, err := json.Marshal(o.Ended)
			return append(out, fmt.Sprintf("%s: %s", run, end)), err
		}
		in.Answers, in.Time = nil, in.Time+1000
		for _, c := range o.Calls {
			in.Answers = append(in.Answers, reply(c))
		}
		if len(in.Answers) == 0 {
			in.Time = o.Wake
		}
	}
	return nil, errors.New("the run does not end")
}

// printBits prints the bits of a guest.
func printBits(file string) error {
	bin, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	b, err := bitsOfGuest(context.Background(), bin)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(b)
}

// TestAnotherProcessGivesTheSameBits tests promise 4: the memory after every turn, the cost and the output of some
// runs are the same in another process, on another processor (make arm64), compiled or interpreted.
func TestAnotherProcessGivesTheSameBits(t *testing.T) {
	t.Parallel()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	here, err := bitsOfGuest(t.Context(), bin)
	if err != nil {
		t.Fatal(err)
	}
	there, err := bitsElsewhere(t, bin)
	if err != nil {
		t.Fatal(err)
	}
	if there.Processor != *processor {
		t.Fatalf("it ran on %s", there.Processor)
	}
	want := here.Hashes["compiler"]
	for _, b := range []bits{here, there} {
		for engine, got := range b.Hashes {
			for k := range got {
				if k >= len(want) || got[k] != want[k] {
					t.Errorf("%s, %s:\n%s\nhere\n%s", b.Processor, engine, got[k], want[min(k, len(want)-1)])
				}
			}
			if len(got) < 8 {
				t.Errorf("%s, %s: only %d hashes", b.Processor, engine, len(got))
			}
		}
	}
	t.Logf("%d hashes are the same here and on %s", len(want), there.Processor)
}

// bitsElsewhere returns the bits of a guest in another process.
func bitsElsewhere(t *testing.T, bin []byte) (b bits, err error) {
	dir := t.TempDir()
	file := filepath.Join(dir, "guest.wasm")
	if err := os.WriteFile(file, bin, 0o600); err != nil {
		return b, err
	}
	command := []string{os.Args[0]}
	if *processor != runtime.GOARCH {
		if command, err = emulated(dir); err != nil {
			return b, err
		}
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), bitsOf+"="+file)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return b, fmt.Errorf("printing the bits on %s: %w", *processor, err)
	}
	return b, json.Unmarshal(out, &b)
}

// emulated builds these tests for another processor and returns the command that runs them here.
func emulated(dir string) ([]string, error) {
	names := map[string]string{"arm64": "aarch64", "amd64": "x86_64"}
	var qemu string
	for _, suffix := range []string{"-static", ""} {
		if found, err := exec.LookPath("qemu-" + names[*processor] + suffix); err == nil && qemu == "" {
			qemu = found
		}
	}
	if qemu == "" {
		return nil, fmt.Errorf("qemu-%s is missing; install the package qemu-user-static", names[*processor])
	}
	test := filepath.Join(dir, "guest.test")
	cmd := exec.Command("go", "test", "-c", "-o", test, ".")
	cmd.Env = append(os.Environ(), "GOARCH="+*processor, "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building for %s: %w: %s", *processor, err, text)
	}
	return []string{qemu, test}, nil
}
