package server

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/redact"
)

// maxBody is the largest JSON body that is taken, in bytes.
const maxBody = 4 << 20

// api is the engine with its operations.
type api struct {
	engine *engine.Engine
	log    *slog.Logger
	huma   huma.API
	ctx    context.Context // ends when the server stops; streams end with it
	lend   func([]byte) io.Reader
}

// Handler returns the API of an engine, open to all (see [Require]). Streams end when ctx does.
func Handler(ctx context.Context, e *engine.Engine, log *slog.Logger) http.Handler {
	_, h := newAPI(ctx, e, log, http.NewServeMux())
	return h
}

// mux is where all operations are registered.
type mux interface {
	http.Handler
	Handle(pattern string, h http.Handler)
	HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request))
}

func newAPI(ctx context.Context, e *engine.Engine, log *slog.Logger, mux mux) (*api, http.Handler) {
	config := huma.DefaultConfig("Flawless", flawless.Version)
	config.Info.Description = "Runs code to completion, whatever hardware and software do."
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil
	asJSON := huma.Format{Marshal: writeJSON, Unmarshal: json.Unmarshal}
	config.Formats = map[string]huma.Format{"application/json": asJSON, "json": asJSON}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "where the server was started with a token"}}
	config.Security = []map[string][]string{{}, {"token": {}}}
	config.Transformers = append(config.Transformers, classed, func(_ huma.Context, _ string, v any) (any, error) {
		return shown(e, v), nil
	})
	config.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[flawless.Bytes](), reflect.TypeFor[string]())
	a := &api{engine: e, log: log, ctx: ctx, lend: lent}
	a.huma = humago.New(mux, config)
	a.huma.UseMiddleware(a.typed, a.takeBody)
	a.about()
	a.modules()
	a.runs()
	a.examinations()
	a.streams()
	a.together()
	a.secrets()
	a.limits()
	a.hosts()
	a.settings()
	a.schedules()
	a.beta(mux)
	mux.Handle("GET /metrics", metrics(e))
	return a, guard(log, whileItWorks(e, legible(mux)))
}

// operation describes an operation under /api/v1.
func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary,
		Tags: []string{strings.Split(strings.TrimPrefix(path, "/"), "/")[0]}, MaxBodyBytes: maxBody + 1, BodyReadTimeout: -1, // see Pace

		Errors: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnsupportedMediaType, http.StatusMisdirectedRequest, http.StatusInsufficientStorage, http.StatusServiceUnavailable}}
}

// guard keeps a panic in one request from being anything else than a refusal of it.
func guard(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // an answer breaks off in the middle
				panic(p)
			default:
				log.Error("a request panicked", "method", r.Method, "path", r.URL.Path, "panic", p)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// whileItWorks answers with 503 and the reason when the store had to be given up, whatever is asked for
// but the health and the metrics: what could still be read may not be what a restart finds.
func whileItWorks(e *engine.Engine, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := e.Gone()
		if err == nil || r.URL.Path == "/api/v1/health" || r.URL.Path == "/metrics" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = writeJSON(w, problem(err))
	})
}

// shown is what a client is told of a value. What a run has published is handed over as it is, and so are
// the records of a page, which were masked one by one.
func shown(e *engine.Engine, v any) any {
	switch v.(type) {
	case json.RawMessage, []json.RawMessage:
		return v
	}
	return redact.Shown(e.Mask(), v)
}

// encode writes a value as JSON, as a client is told of it.
func (a *api) encode(w io.Writer, v any) error { return writeJSON(w, shown(a.engine, v)) }

type body[T any] struct{ Body T }

func (a *api) about() {
	type version struct {
		Version        string `json:"version"`
		LogFormat      int    `json:"log_format"`
		GuestInterface int    `json:"guest_interface"`
	}
	huma.Register(a.huma, operation("version", http.MethodGet, "/version", "Version of the server"),
		func(context.Context, *struct{}) (*body[version], error) {
			return &body[version]{version{flawless.Version, flawless.LogFormat, flawless.GuestInterface}}, nil
		})
	type health struct {
		Status int
		Body   flawless.Health
	}
	huma.Register(a.huma, operation("health", http.MethodGet, "/health", "Whether the server takes work; 503 where it does not"),
		func(context.Context, *struct{}) (*health, error) {
			h := &health{http.StatusOK, a.engine.Health()}
			if !takesWork(h.Body) {
				h.Status = http.StatusServiceUnavailable
			}
			return h, nil
		})
}

func takesWork(h flawless.Health) bool { return h.State == "ok" || h.State == "damaged" }

// metrics is what Prometheus asks for.
func metrics(e *engine.Engine) http.Handler {
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, value func(flawless.Health) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "flawless", Name: name, Help: help},
			func() float64 { return value(e.Health()) }))
	}
	gauge("runs_in_memory", "Runs in memory.", func(h flawless.Health) float64 { return float64(h.Open) })
	gauge("guests_in_memory", "Guests in memory.", func(h flawless.Health) float64 { return float64(h.Live) })
	gauge("runs_retrying", "Runs with a call that has failed and is tried again.", func(h flawless.Health) float64 { return float64(h.Retrying) })
	gauge("runs_set_aside", "Runs set aside because of a problem.", func(h flawless.Health) float64 { return float64(h.Aside) })
	counter := func(name, help string, value func(flawless.Health) int64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "flawless", Name: name, Help: help},
			func() float64 { return float64(value(e.Health())) }))
	}
	counter("guests_replayed_total", "Guests made again from their log.", func(h flawless.Health) int64 { return h.Replayed })
	counter("guests_frozen_total", "Images made of runs.", func(h flawless.Health) int64 { return h.Frozen })
	counter("guests_thawed_total", "Guests made again from an image.", func(h flawless.Health) int64 { return h.Thawed })
	counter("images_unusable_total", "Images that were of no use, so that the run was replayed.", func(h flawless.Health) int64 { return h.Fallbacks })
	gauge("up", "1 where work is taken, 0 where it is not.", func(h flawless.Health) float64 {
		if takesWork(h) {
			return 1
		}
		return 0
	})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
