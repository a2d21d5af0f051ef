package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
)

// beta adds the operations of flawless.dev's HTTP API, 1.0.0-beta and 1.0.0-alpha, for the crate flawless-utils and
// its users. They answer {"ok": …} or {"error": text}.
func (a *api) beta(mux mux) {
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, flawless.Version+"\n")
	})
	for _, r := range a.betaRoutes() {
		mux.HandleFunc(r.pattern, a.betaHandler(r))
	}
}

// betaRoute is an operation of flawless.dev.
type betaRoute struct {
	pattern string
	do      func(w http.ResponseWriter, r *http.Request) (any, error)
}

func (a *api) betaRoutes() []betaRoute {
	return []betaRoute{
		{"POST /api/module/deploy", a.betaDeploy},
		{"POST /api/workflow/start", a.betaStart},
		{"POST /api/workflow/send-msg/{id}", a.betaSend},
		{"POST /workflow/start/{module}/{workflow}", a.alphaStart},
		{"GET /workflow/{id}", a.alphaShow},
	}
}

// betaHandler returns a handler that answers with the value or the error that an operation returns.
func (a *api) betaHandler(op betaRoute) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p := forward.Of(r.Context()); p != nil {
			p.Op = op.pattern
		}
		v, err := op.do(w, r)
		status := http.StatusOK
		if err != nil {
			v = map[string]string{"error": strings.TrimSuffix(err.Error(), ": "+string(flawless.CodeOf(err)))}
			var p *reply.Problem
			if errors.As(reply.From(err), &p) {
				status = p.Status
				p.SetHeaders(w.Header().Set)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = a.encode(w, v)
	}
}

// readJSON reads a JSON body.
func readJSON(r *http.Request, v any) error {
	if err := needJSON(r); err != nil {
		return err
	}
	b, err := readText(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("the body does not match what this operation expects: %v: %w", err, flawless.Invalid)
	}
	return nil
}

// readText reads a text body.
func readText(r *http.Request) ([]byte, error) {
	b, err := readBody(r.Body, maxBody)
	forward.KeepBody(r.Context(), b)
	if err == nil {
		err = checkText("the body of the request", b)
	}
	return b, err
}

func (a *api) betaDeploy(w http.ResponseWriter, r *http.Request) (any, error) {
	if forward.Of(r.Context()) != nil { // another server may need all of it
		b, err := readBody(r.Body, engine.MaxModule+1<<20)
		if err != nil {
			return nil, fmt.Errorf("deploying a module: %w", err)
		}
		forward.KeepBody(r.Context(), b)
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	r.Body = http.MaxBytesReader(w, r.Body, engine.MaxModule+1<<20)
	form, err := r.MultipartReader()
	if err != nil {
		return nil, fmt.Errorf("deploying a module: %v; send it as the field module of multipart/form-data: %w", err, flawless.Invalid)
	}
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return nil, fmt.Errorf("deploying a module: the form has no field module: %w", flawless.Invalid)
		}
		if err != nil {
			return nil, fmt.Errorf("deploying a module: %w", bodyError(err))
		}
		if part.FormName() != "module" {
			continue
		}
		bin, err := readBody(part, engine.MaxModule)
		if err != nil {
			return nil, fmt.Errorf("deploying a module: %w", err)
		}
		m, _, err := a.engine.AddModule(r.Context(), "", bin, nil)
		if err != nil {
			return nil, err
		}
		return ok(map[string]string{"name": m.Name, "version": m.Manifest.Version}), nil
	}
}

func ok(v any) any { return map[string]any{"ok": v} }

func (a *api) betaStart(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct {
		Module, Version, Workflow string
		Input                     *string // JSON
	}
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	o := engine.Start{Module: in.Module, Version: in.Version, Workflow: in.Workflow, ID: forward.Made(r.Context(), "", a.engine.NewID)}
	if in.Input != nil {
		o.Input = json.RawMessage(*in.Input)
	}
	run, _, err := a.engine.Start(r.Context(), o)
	if err != nil {
		return nil, err
	}
	ctx, stop := a.whileServing(r.Context())
	defer stop()
	run, response, err := a.engine.Response(ctx, run.ID)
	switch {
	case err != nil:
		return nil, fmt.Errorf("run %s was started: %w", run.ID, err)
	case response == nil && run.Failure != nil:
		return nil, fmt.Errorf("run %s is %s before it has responded: %s: %w", run.ID, run.Status, run.Failure.Message, flawless.Refused)
	}
	out := struct {
		ID       string  `json:"id"`
		Response *string `json:"response" redact:"-"` // JSON
	}{ID: run.ID}
	if text := string(response); response != nil && text != "null" {
		out.Response = &text
	}
	return ok(out), nil
}

// whileServing returns a context that ends with the request or when the server stops.
func (a *api) whileServing(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (a *api) betaSend(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct{ Type, Data string }
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	_, err := a.engine.Send(r.Context(), r.PathValue("id"), flawless.Message{Type: in.Type, Body: []byte(in.Data), Key: forward.Made(r.Context(), "", messageKey)})
	return "ok", err
}

func (a *api) alphaStart(w http.ResponseWriter, r *http.Request) (any, error) {
	if err := needJSON(r); err != nil {
		return nil, err
	}
	input, err := readText(r)
	if err != nil {
		return nil, err
	}
	id, request := a.alphaID(time.Now()), ""
	made := forward.Made(r.Context(), "", func() string { return strconv.FormatInt(id, 10) + "-" + rand.Text() })
	if first, _, both := strings.Cut(made, "-"); both {
		if id, err = strconv.ParseInt(first, 10, 64); err != nil {
			return nil, err
		}
		request = made
	}
	for range 100 {
		ours, err := a.alphaTry(r.Context(), engine.Start{Module: r.PathValue("module"), Workflow: r.PathValue("workflow"), Input: input, ID: strconv.FormatInt(id, 10), Request: request})
		if ours || err != nil {
			return map[string]int64{"id": id}, err
		}
		id++ // another server on the same store has used the id
	}
	return nil, fmt.Errorf("starting %s/%s: 100 ids in a row are taken; try again: %w", r.PathValue("module"), r.PathValue("workflow"), flawless.Conflict)
}

// alphaTry starts a run. It returns false if another request has used its id. If this request has, and its answer was lost, it
// changes nothing: the log says which request has started the run. Any server can read that, so the next id is the same wherever
// the request is tried again.
func (a *api) alphaTry(ctx context.Context, o engine.Start) (ours bool, err error) {
	for range 2 {
		log, err := a.engine.Log(ctx, o.ID, 0, 1)
		if !errors.Is(err, flawless.NotFound) {
			return err == nil && o.Request != "" && len(log) > 0 && len(log[0].Entries) > 0 && log[0].Entries[0].Request == o.Request, err
		}
		_, fresh, err := a.engine.Start(ctx, o)
		if taken := err == nil && !fresh || errors.Is(err, flawless.Conflict); !taken {
			return err == nil, err
		}
	}
	return false, nil // a run that has been removed since
}

// alphaID generates an id for a run; in the alpha, ids are integers. It is the time in microseconds, which every
// language can represent exactly, and greater than all earlier ones.
func (a *api) alphaID(now time.Time) int64 {
	for {
		last := a.lastAlpha.Load()
		if id := max(last+1, now.UnixMicro()); a.lastAlpha.CompareAndSwap(last, id) {
			return id
		}
	}
}

// alphaStatuses maps statuses to those of the alpha; all others are failures.
var alphaStatuses = []struct {
	status flawless.Status
	word   string
}{
	{flawless.Pending, "Initializing"},
	{flawless.Running, "Executing"},
	{flawless.Waiting, "Executing"},
	{flawless.Paused, "Paused"},
	{flawless.Unresolved, "Paused"},
	{flawless.Completed, "Success"},
}

func (a *api) alphaShow(_ http.ResponseWriter, r *http.Request) (any, error) {
	run, err := a.engine.Run(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	data, err := a.engine.Data(r.Context(), run.ID)
	if err != nil && !errors.Is(err, flawless.NotFound) {
		return nil, err
	}
	word := "Failure"
	for _, s := range alphaStatuses {
		if s.status == run.Status {
			word = s.word
		}
	}
	return struct {
		Status string          `json:"status"`
		Data   json.RawMessage `json:"data" redact:"-"`
	}{word, data}, nil
}
