package core

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios runs the scenarios in testdata, one file per topic. A scenario lists the steps of one run, and under
// each step what follows from it; script_test.go defines the words. Its arguments are the run's deadline, how long the
// operator has calls retried, and how long the server honours keys:
//
//	scenario deadline=20s retry=24h keys=1h
//
// Each scenario runs a second time, with the run written to an image and restored after every step. To write a new one,
// leave its result empty, run the test with -rewrite, and read the result.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				if d.Cmd != "scenario" {
					d.Fatalf(t, "there is no command %q", d.Cmd)
				}
				var args struct{ deadline, retry, keys time.Duration }
				for name, to := range map[string]*time.Duration{"deadline": &args.deadline, "retry": &args.retry, "keys": &args.keys} {
					text := "0"
					d.MaybeScanArgs(t, name, &text)
					if *to, err = time.ParseDuration(text); err != nil {
						d.Fatalf(t, "%v", err)
					}
				}
				tell := func(images bool) string {
					w := newScenarioUntil(t, int64(args.deadline))
					w.terms = Terms{Retry: args.retry, RetryBy: "server", Within: args.keys, KeyBy: "host a.example"}
					var out strings.Builder
					for step := range strings.Lines(d.Input) {
						step = strings.TrimSpace(step)
						fmt.Fprintln(&out, step)
						for _, result := range w.do(step) {
							fmt.Fprintln(&out, "   ", result)
						}
						if images && w.s.status == "" {
							w.thaw()
						}
					}
					return out.String()
				}
				out := tell(false)
				if again := tell(true); again != out {
					d.Fatalf(t, "a run that is read from an image after each step goes on in another way:\n%s\nwithout images it was\n%s", again, out)
				}
				return out
			})
		})
	}
}

// thaw writes the run to an image and restores it.
func (w *scenario) thaw() {
	w.t.Helper()
	kept := w.s.Snapshot()
	w.s = NewState("run", w.s.kinds)
	if err := w.s.Restore(kept); err != nil {
		w.t.Fatal(err)
	}
	if err := checkIndex(w.s); err != nil {
		w.t.Fatalf("read from an image: %v", err)
	}
}
