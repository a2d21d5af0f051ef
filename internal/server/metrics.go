package server

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

// scrape holds the data that metrics are computed from.
type scrape struct {
	flawless.Health
	engine.Metrics
}

// sample is a value, and the value of its label if it has one.
type sample struct {
	label string
	value float64
}

// metric is a metric family. docs/operate/monitor.md has a row for each.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	label      string
	values     func(s *scrape) []sample
}

var metrics = []metric{
	gauge("up", "1 if the server accepts work, 0 if not.", func(s *scrape) float64 {
		if acceptsWork(s.Health) {
			return 1
		}
		return 0
	}),
	gauge("runs_unresolved", "Open runs that wait for a decision about a call whose outcome is unknown.", func(s *scrape) float64 { return float64(s.Unresolved) }),
	gauge("runs_quarantined", "Runs that cannot continue because of damage or divergence.", func(s *scrape) float64 { return float64(s.Metrics.Quarantined) }),
	gauge("runs_held", "Runs that are held because the database may have lost calls. Should be 0.", func(s *scrape) float64 { return float64(s.Held) }),
	gauge("runs_retrying", "Runs with a failed call that is being retried.", func(s *scrape) float64 { return float64(s.Retrying) }),
	gauge("store_damaged_files", "Damaged files of the store, as of the last check. Should be 0.", func(s *scrape) float64 {
		if s.Check == nil {
			return 0
		}
		return float64(s.Check.Damaged)
	}),
	counter("runs_started_total", "Runs started.", func(s *scrape) int64 { return s.Metrics.Started }),
	{"runs_ended_total", "Runs ended.", prometheus.CounterValue, "status", func(s *scrape) (out []sample) {
		for status, n := range s.Ended {
			out = append(out, sample{string(status), float64(n)})
		}
		return out
	}},
	counter("calls_begun_total", "Attempts of HTTP calls.", func(s *scrape) int64 { return s.Begun }),
	counter("calls_answered_total", "HTTP calls that got an answer, with any status.", func(s *scrape) int64 { return s.Answered }),
	{"calls_failed_total", "Attempts of HTTP calls that got no answer.", prometheus.CounterValue, "outcome", func(s *scrape) []sample {
		return []sample{{"not_sent", float64(s.NotSent)}, {"unknown", float64(s.Unknown)}}
	}},
	bySchedule("schedule_started_total", "Runs started by a schedule.", func(s flawless.Schedule) int { return s.Started }),
	bySchedule("schedule_skipped_total", "Scheduled times skipped because the previous run was still open.", func(s flawless.Schedule) int { return s.Skipped }),
	bySchedule("schedule_missed_total", "Scheduled times that have no run for another reason.", func(s flawless.Schedule) int { return s.Missed }),
	gauge("runs_in_memory", "Runs in memory.", func(s *scrape) float64 { return float64(s.Open) }),
	gauge("guests_in_memory", "Guests in memory.", func(s *scrape) float64 { return float64(s.Live) }),
	gauge("guest_slots", "Guests that memory has room for at present.", func(s *scrape) float64 { return float64(s.Slots) }),
	gauge("compiled_code_bytes", "Size of the compiled code of modules on disk.", func(s *scrape) float64 { return float64(s.Code) }),
	counter("guests_replayed_total", "Guests restored by replaying their log.", func(s *scrape) int64 { return s.Replayed }),
	counter("guests_frozen_total", "Images taken of runs.", func(s *scrape) int64 { return s.Frozen }),
	counter("guests_thawed_total", "Guests restored from an image.", func(s *scrape) int64 { return s.Thawed }),
	counter("images_unusable_total", "Images that could not be used, so the run was replayed from its log.", func(s *scrape) int64 { return s.Fallbacks }),
}

func gauge(name, help string, value func(s *scrape) float64) metric {
	return metric{name, help, prometheus.GaugeValue, "", func(s *scrape) []sample { return []sample{{"", value(s)}} }}
}

func counter(name, help string, value func(s *scrape) int64) metric {
	return metric{name, help, prometheus.CounterValue, "", func(s *scrape) []sample { return []sample{{"", float64(value(s))}} }}
}

func bySchedule(name, help string, value func(s flawless.Schedule) int) metric {
	return metric{name, help, prometheus.CounterValue, "schedule", func(s *scrape) (out []sample) {
		for _, one := range s.Schedules {
			out = append(out, sample{one.Name, float64(value(one))})
		}
		return out
	}}
}

func (m *metric) desc() *prometheus.Desc {
	var labels []string
	if m.label != "" {
		labels = []string{m.label}
	}
	return prometheus.NewDesc("flawless_"+m.name, m.help, labels, nil)
}

// collector collects the metrics of an engine for one request.
type collector struct {
	ctx    context.Context
	engine *engine.Engine
	log    *slog.Logger
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for i := range metrics {
		out <- metrics[i].desc()
	}
}

// Collect implements [prometheus.Collector]. Values that cannot be read from the store are left out, so that alerts
// do not mistake them for zero.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := scrape{Health: c.engine.Health()}
	var err error
	if s.Metrics, err = c.engine.Metrics(c.ctx); err != nil && c.ctx.Err() == nil {
		c.log.Error("collecting metrics failed", "error", err)
	}
	for i := range metrics {
		m := &metrics[i]
		for _, v := range m.values(&s) {
			if v.value < 0 { // unknown
				continue
			}
			var labels []string
			if m.label != "" {
				labels = []string{v.label}
			}
			out <- prometheus.MustNewConstMetric(m.desc(), m.kind, v.value, labels...)
		}
	}
}

// metricsHandler answers requests of Prometheus.
func metricsHandler(e *engine.Engine, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		registry := prometheus.NewRegistry()
		registry.MustRegister(&collector{r.Context(), e, log})
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}
