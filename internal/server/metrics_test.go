package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

// TestMetricsMatchDocumentation compares names, types and labels in /metrics with the table in docs/operate/monitor.md.
func TestMetricsMatchDocumentation(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/operate/monitor.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{} // name: type and label
	for _, row := range regexp.MustCompile("(?m)^\\| `(flawless_[a-z_]+)(?:\\{([a-z]+)\\})?` \\| (gauge|counter) \\| .+ \\|$").FindAllStringSubmatch(string(doc), -1) {
		documented[row[1]] = row[3] + " " + row[2]
	}
	// Names in alerts and elsewhere, too.
	for _, page := range []string{"monitor.md", "production.md"} {
		text, err := os.ReadFile("../../docs/operate/" + page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`flawless_[a-z_]+`).FindAllString(string(text), -1) {
			if documented[name] == "" {
				t.Errorf("docs/operate/%s mentions %s, which has no row in the table of metrics", page, name)
			}
		}
	}

	e := newEngine(t)
	bin, err := os.ReadFile("../engine/testdata/images/kept.wasm")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.AddModule(t.Context(), "kept", bin, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Schedules().Set(t.Context(), flawless.Schedule{Name: "yearly", Cron: "@yearly", Module: "kept", Workflow: "keep"}, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Start(t.Context(), engine.Start{Module: "kept", Workflow: "keep", ID: "run"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Terminate(t.Context(), "run", flawless.Cancel{}); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	Handler(context.Background(), e, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	served := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)\n\S+?(?:\{(\w+)=.*\})? `).FindAllStringSubmatch(text, -1) {
		served[row[1]] = row[2] + " " + row[3]
	}
	for name, is := range served {
		if documented[name] != is {
			t.Errorf("/metrics has %s (%s), but docs/operate/monitor.md has %q", name, is, documented[name])
		}
	}
	for name := range documented {
		if served[name] == "" {
			t.Errorf("docs/operate/monitor.md has %s, but /metrics does not", name)
		}
	}
	for _, want := range []string{
		"flawless_runs_started_total 1\n", `flawless_runs_ended_total{status="terminated"} 1`, `flawless_runs_ended_total{status="failed"} 0`,
		`flawless_schedule_missed_total{schedule="yearly"} 0`, "flawless_runs_quarantined 0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics has no %q: %s", want, text)
		}
	}
}
