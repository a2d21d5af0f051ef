package examples

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/bundle"
	"github.com/flawless-engine/flawless/internal/guest"
	"github.com/flawless-engine/flawless/internal/rehearsal"
	"github.com/flawless-engine/flawless/internal/replay"
	"github.com/flawless-engine/flawless/internal/rusttest"
)

var record = flag.Bool("record", false, "record the logs of this version anew; only before it is released")
var only = flag.String("only", "", "with -record, the example to record")

// logs contains runs recorded by every released version. They have to replay forever: a changed format gets a new
// number and a new folder.
var logs = filepath.Join("..", "testdata", "logs")

// recorded lists the recorded runs of each example: complete with the module that made them, or only the log, which is
// replayed with the example as built today.
var recorded = []struct {
	example string
	whole   bool
	input   any
}{
	{"hello", true, map[string]any{"name": "Ann"}},
	{"hello-rust", true, map[string]any{"name": "Ann"}},
	{"hello-ts", false, map[string]any{"name": "Ann"}},
	{"checkout", false, map[string]any{"id": "1", "item": "book", "quantity": 1, "card": "c", "cents": 5, "services": "https://shop.test"}},
	{"crawl", false, map[string]any{"base": "http://pages.test/"}},
	{"reminder", false, map[string]any{"url": "http://remind.test/", "text": "pay", "times": 3, "every_days": 7, "days": 7}},
	{"travel", false, map[string]any{"id": "1", "to": "Oslo", "services": "https://travel.test"}},
	{"booking", false, map[string]any{"traveller": "Ann"}}, // nobody answers, so its time is up
}

// folder returns where an example is: the wizard has its workflow in a folder of its own, beside the web server.
func folder(example string) string {
	if example == "booking" {
		return filepath.Join("wizard", example)
	}
	return example
}

// outside answers the requests of the recorded runs. There is no car, so a trip is cancelled.
func outside() http.Handler {
	n := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/cars/") {
			w.WriteHeader(http.StatusConflict)
			return
		}
		n++
		fmt.Fprintf(w, `{"id":"n%d"}`, n)
	})
}

// buildToKeep builds an example without local path names in it.
func buildToKeep(t *testing.T, example string) []byte {
	t.Helper()
	if _, err := os.Stat(filepath.Join(example, "Cargo.toml")); err != nil {
		return build(t, example, "-trimpath", "-ldflags=-s -w")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sysroot, err := exec.Command("rustc", "--print", "sysroot").Output()
	if err != nil {
		t.Fatal(err)
	}
	home := cmp.Or(os.Getenv("CARGO_HOME"), filepath.Join(os.Getenv("HOME"), ".cargo"))
	crates, _ := filepath.Glob(filepath.Join(home, "registry", "src", "*"))
	flags := []string{"--remap-path-prefix=" + root + "=flawless", "--remap-path-prefix=" + strings.TrimSpace(string(sysroot)) + "=rust"}
	for _, dir := range crates {
		flags = append(flags, "--remap-path-prefix="+dir+"=crates")
	}
	t.Setenv("RUSTFLAGS", strings.Join(flags, " "))
	bin, err := rusttest.Build(example, rusttest.WASI)
	rusttest.Check(t, err)
	return bin
}

// TestRecordLogs records the logs if the flag -record is set.
func TestRecordLogs(t *testing.T) {
	if !*record {
		return // nothing to test
	}
	rt := runtime(t)
	dir := filepath.Join(logs, fmt.Sprintf("v%d", flawless.LogFormat))
	hashes := map[string]string{}
	if *only != "" {
		hashes = hashesIn(t, dir)
	}
	for _, r := range recorded {
		if *only != "" && r.example != *only {
			continue
		}
		bin := buildToKeep(t, folder(r.example))
		in, err := json.Marshal(r.input)
		if err != nil {
			t.Fatal(err)
		}
		result, err := rehearsal.Run(t.Context(), rehearsal.Options{Guest: rt, Binary: bin, Workflow: r.example, Input: in,
			Outside: outside()})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(bin)
		b := bundle.Bundle{Log: result.Log, Manifest: bundle.Manifest{Run: result.Run,
			Module: flawless.Module{Name: r.example, Digest: hex.EncodeToString(sum[:]), Size: int64(len(bin))}}}
		if r.whole {
			b.Module = bin
		}
		m, err := rt.Load(t.Context(), bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := replay.Run(t.Context(), m, result.Run.ID, replay.Records(b.Log), replay.Options{})
		if err != nil || got.Divergence != nil {
			t.Fatal(got.Divergence, err)
		}
		if r.whole {
			hashes[r.example] = got.Hash
		}
		f, err := os.Create(filepath.Join(dir, r.example+".bundle"))
		if err != nil {
			t.Fatal(err)
		}
		if err := bundle.Write(f, b); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.MarshalIndent(hashes, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "hashes.json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func runtime(t *testing.T) *guest.Runtime {
	t.Helper()
	rt, err := guest.NewRuntime(context.Background(), guest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.Background()) })
	return rt
}

// TestOldLogsReplay replays the recorded runs of every version: those with their module bit for bit, the others with
// today's examples and SDK.
func TestOldLogsReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(logs, "v*", "*.bundle"))
	if err != nil || len(files) < len(recorded) {
		t.Fatalf("there are %d recorded runs, %v", len(files), err)
	}
	folders, err := filepath.Glob("*/README.md")
	if err != nil || len(folders) != len(recorded) {
		t.Errorf("there are the examples %v, and %d runs of examples are recorded; record one of each", folders, len(recorded))
	}
	rt := runtime(t)
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Read(f)
		_ = f.Close()
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".bundle")
		bin, want := b.Module, ""
		if bin == nil {
			bin = build(t, folder(name))
		} else if want = hashesIn(t, filepath.Dir(file))[name]; want == "" {
			t.Errorf("%s: its hash is not kept", file)
		}
		m, err := rt.Load(t.Context(), bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := replay.Run(t.Context(), m, b.Manifest.Run.ID, replay.Records(b.Log), replay.Options{})
		if err != nil || got.Divergence != nil || got.Turns != b.Manifest.Run.Turns {
			t.Errorf("%s: %+v %v, %v", file, got, got.Divergence, err)
		}
		if want != "" && got.Hash != want {
			t.Errorf("%s: the guest ended as %s, it should be %s", file, got.Hash, want)
		}
	}
}

func hashesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "hashes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]string
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
