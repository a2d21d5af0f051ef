package pebble_test

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/store"
	"github.com/flawless-engine/flawless/internal/store/pebble"
)

var ended = flag.Int("runs", 20_000, "ended runs in the store of BenchmarkPages")

// BenchmarkPages reads filtered pages from a store with many ended runs (-runs). It reports the mean and the maximum.
func BenchmarkPages(b *testing.B) {
	db, err := pebble.Open(b.TempDir(), pebble.Options{Reserve: -1})
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(b.Context(), db)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	l, err := s.Claim(b.Context(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := *ended
	var writers sync.WaitGroup
	for w := range 64 {
		writers.Go(func() {
			for i := w; i < n; i += 64 {
				if err := s.Write(b.Context(), l, endedRun(i, begin)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	at := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Second) }
	for _, row := range []struct {
		name string
		f    flawless.Filter
	}{
		{"all", flawless.Filter{}},
		{"status", flawless.Filter{Status: []flawless.Status{flawless.Failed}}},
		{"status that no run has", flawless.Filter{Status: []flawless.Status{flawless.Unresolved}}},
		{"module", flawless.Filter{Module: "m3"}},
		{"module and status", flawless.Filter{Module: "m3", Status: []flawless.Status{flawless.Failed}}},
		{"workflow", flawless.Filter{Workflow: "w7"}},
		{"module and workflow", flawless.Filter{Module: "m3", Workflow: "w3"}},
		{"module, workflow, status and span", flawless.Filter{Module: "m3", Workflow: "w3", Status: []flawless.Status{flawless.Completed}, Since: at(n / 4), Until: at(n / 2)}},
		{"rare label", flawless.Filter{Labels: map[string]string{"customer": "77"}}},
		{"common label", flawless.Filter{Labels: map[string]string{"env": "prod"}}},
		{"common label and rare status", flawless.Filter{Labels: map[string]string{"env": "prod"}, Status: []flawless.Status{flawless.Terminated}}},
		{"two labels", flawless.Filter{Labels: map[string]string{"env": "prod", "customer": "77"}}},
		{"common label and module", flawless.Filter{Labels: map[string]string{"env": "prod"}, Module: "m3"}},
		{"two that never meet", flawless.Filter{Labels: map[string]string{"parity": "odd"}, Module: "m4"}},
		{"span", flawless.Filter{Since: at(n / 4), Until: at(n/4 + 100)}},
		{"parent", flawless.Filter{Parent: "run-0000100"}},
	} {
		b.Run(row.name, func(b *testing.B) {
			var took []time.Duration
			found := 0
			for b.Loop() {
				t := time.Now()
				runs, _, err := s.Runs(b.Context(), row.f)
				if err != nil {
					b.Fatal(err)
				}
				took, found = append(took, time.Since(t)), len(runs)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
			b.ReportMetric(float64(found), "runs")
		})
	}
}

func endedRun(i int, begin time.Time) store.Write {
	end := begin.Add(time.Duration(i)*time.Second + time.Minute)
	h := store.Head{Run: flawless.Run{ID: fmt.Sprintf("run-%07d", i), Module: "m" + strconv.Itoa(i%10), Workflow: "w" + strconv.Itoa(i%10),
		Status: flawless.Completed, Created: begin.Add(time.Duration(i) * time.Second), Ended: &end, Digest: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		Labels: map[string]string{"env": "prod", "customer": strconv.Itoa(i % 5000), "parity": []string{"even", "odd"}[i%2]}}}
	switch {
	case i%1000 == 0:
		h.Run.Status = flawless.Failed
	case i%100_000 == 1:
		h.Run.Status = flawless.Terminated
	}
	if i%10 == 5 {
		h.Run.Parent = fmt.Sprintf("run-%07d", i/1000*100)
	}
	return store.Write{ID: h.Run.ID, New: true, After: &h,
		Entries: []flawless.Entry{{At: end.UnixNano(), Turn: &flawless.Turn{N: 1, Time: end.UnixNano(), Lines: []flawless.Line{{Level: "info", Text: "done"}}}}}}
}
