package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/budget"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/metrics"
	"github.com/flawless-engine/flawless/internal/peer"
	"github.com/flawless-engine/flawless/internal/redact"
	"github.com/flawless-engine/flawless/internal/reply"
)

// maxBody is the maximum size of a JSON body, in bytes.
const maxBody = 4 << 20

// api has the operations on an engine.
type api struct {
	engine *engine.Engine
	log    *slog.Logger
	huma   huma.API
	ctx    context.Context // ends when the server stops, and streams with it
	lend   func([]byte) io.Reader
	budget *budget.Budget

	inner http.Handler // all operations
	peer  *peer.Peer   // nil if there are no other servers

	lastAlpha atomic.Int64 // last id generated for a run of the alpha's API
}

// Handler returns the API of an engine, without authentication (see [Require]). Streams end when ctx ends.
func Handler(ctx context.Context, e *engine.Engine, log *slog.Logger) http.Handler {
	_, h := newAPI(ctx, e, log, http.NewServeMux())
	return h
}

// mux is what newAPI needs of [http.ServeMux]. Tests use one that records the patterns.
type mux interface {
	http.Handler
	Handle(pattern string, h http.Handler)
	HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request))
	Handler(r *http.Request) (http.Handler, string)
}

func newAPI(ctx context.Context, e *engine.Engine, log *slog.Logger, mux mux) (*api, http.Handler) {
	config := huma.DefaultConfig("Flawless", flawless.Version)
	config.Info.Description = "Durable execution: code that survives crashes and restarts."
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil
	asJSON := huma.Format{Marshal: reply.WriteJSON, Unmarshal: reply.Parse}
	config.Formats = map[string]huma.Format{"application/json": asJSON, "json": asJSON}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "needed if the server was started with a token"}}
	config.Security = []map[string][]string{{}, {"token": {}}}
	config.Transformers = append(config.Transformers, asProblem, func(_ huma.Context, _ string, v any) (any, error) {
		return shown(e, v), nil
	})
	for _, d := range described {
		config.Components.Schemas.RegisterTypeAlias(d.t, d.as)
	}
	a := &api{engine: e, log: log, ctx: ctx, lend: bodyReader, budget: budget.New()}
	a.huma = humago.New(mux, config)
	a.huma.UseMiddleware(a.follow, a.checkContentType, a.checkQuery, a.takeBody)
	a.about()
	a.modules()
	a.runs()
	a.examinations()
	a.streams()
	a.progress()
	a.messages()
	a.promises()
	a.states()
	a.secrets()
	a.limits()
	a.history()
	a.nodes()
	a.stats()
	a.views()
	a.hosts()
	a.settings()
	a.schedules()
	a.store()
	a.optionalBodies()
	a.describe()
	a.beta(mux)
	mux.HandleFunc("GET /{$}", welcome)
	mux.Handle("GET /metrics", metrics.Handler(e, log))
	mux.HandleFunc("GET /livez", live)
	mux.HandleFunc("GET /readyz", ready(e))
	a.inner = validURL(reply.OrNotFound(mux))
	return a, guard(log, forStore(e.Health().Store, whileHealthy(e, a.inner)))
}

// operation returns the description of an operation under /api/v1.
func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary,
		Tags: []string{strings.Split(strings.TrimPrefix(path, "/"), "/")[0]}, MaxBodyBytes: maxBody + 1,
		BodyReadTimeout: -1, // see listen.Pace

		RejectUnknownQueryParameters: true, // so that a misspelt dry_run is not ignored
	}
}

// guard turns a panic in a request into a refusal of the request.
func guard(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // a handler aborts its answer
				panic(p)
			default:
				log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p)
				reply.Write(w, r, reply.New(http.StatusInternalServerError, "", "internal error: the request panicked. The log of the server has the details; please report this bug"))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// forStore refuses requests for another store: a client that has found the server by its working directory may have
// an outdated address, where another server listens now.
func forStore(id string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := r.Header.Get(flawless.StoreHeader); want != id && len(r.Header.Values(flawless.StoreHeader)) > 0 {
			reply.Deny(w, r, http.StatusMisdirectedRequest, fmt.Sprintf("the request is for store %.100q, but this server has store %s", want, id))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// aboutServer has the paths of what is answered whatever happens to the store.
var aboutServer = []string{"/", "/api/v1/health", "/api/v1/version", "/metrics", "/livez", "/readyz"}

// whileHealthy answers with 503, at once, all requests that need the store while it does not answer. Once the store has
// failed, it answers all requests except health and metrics so: what can still be read may differ from what a restart finds.
func whileHealthy(e *engine.Engine, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := e.Gone()
		if err != nil && (r.URL.Path == "/api/v1/health" || r.URL.Path == "/metrics") {
			err = nil
		} else if err == nil && !slices.Contains(aboutServer, r.URL.Path) {
			err = e.Away()
		}
		if err == nil {
			next.ServeHTTP(w, r)
			return
		}
		p := *reply.From(err).(*reply.Problem)
		p.Status, p.Title = http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable)
		reply.Write(w, r, &p)
	})
}

// shown returns what a client may see of a value. The data of a run is not masked, nor are the records of a page,
// which have been masked one by one.
func shown(e *engine.Engine, v any) any {
	switch v.(type) {
	case json.RawMessage, []json.RawMessage:
		return v
	}
	return redact.Shown(e.Mask(), v)
}

// encode writes what a client may see of a value as JSON.
func (a *api) encode(w io.Writer, v any) error { return reply.WriteJSON(w, shown(a.engine, v)) }

type body[T any] struct{ Body T }

// bodyOf returns what an operation answers whose result is v, err.
func bodyOf[T any](v T, err error) (*body[T], error) { return &body[T]{v}, reply.From(err) }

func (a *api) about() {
	huma.Register(a.huma, operation("version", http.MethodGet, "/version", "Get the version of the server"),
		func(context.Context, *struct{}) (*body[flawless.Build], error) {
			return &body[flawless.Build]{flawless.ThisBuild()}, nil
		})
	type health struct {
		Status int
		Body   flawless.Health
	}
	op := operation("health", http.MethodGet, "/health", "Check whether the server accepts work; 503 if it does not")
	op.Responses = map[string]*huma.Response{
		"200": a.answered("The server accepts work.", typeOf[flawless.Health]()),
		"503": a.answered("The server does not accept work; state and message say why.", typeOf[flawless.Health]()),
	}
	huma.Register(a.huma, op,
		func(context.Context, *struct{}) (*health, error) {
			h := &health{http.StatusOK, a.engine.Health()}
			if !h.Body.AcceptsWork() {
				h.Status = http.StatusServiceUnavailable
			}
			return h, nil
		})
}
