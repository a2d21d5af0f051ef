package server

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/reply"
)

// Added is the answer to adding a module.
type Added struct {
	Module flawless.Module `json:"module"`
	Added  bool            `json:"added" doc:"false if the newest version already has these bytes"`
}

// Progress is the progress of adding a module.
type Progress struct {
	Stage string  `json:"stage"`
	Done  float64 `json:"done" doc:"progress from 0 to 1"`
}

type addModule struct {
	Name   string `path:"name" doc:"name of the module"`
	Accept string `header:"Accept" doc:"text/event-stream returns progress events, then result or problem"`
	Payload
}

type deployModule struct {
	Accept string `header:"Accept" doc:"text/event-stream returns progress events, then result or problem"`
	Payload
}

func (a *api) modules() {
	add := operation("add-module", http.MethodPut, "/modules/{name}", "Add a module, or a new version of it")
	add.MaxBodyBytes = engine.MaxModule + 1
	add = withPayload(add, "application/wasm", true, nil)
	progress := eventKind{"progress", typeOf[Progress]()}
	add.Responses = map[string]*huma.Response{
		"200": a.answered("the newest version already has these bytes; always with text/event-stream", typeOf[Added](), progress),
		"201": a.answered("added", typeOf[Added]()),
	}
	deploy := add
	deploy.Responses = maps.Clone(add.Responses)
	huma.Register(a.huma, add, a.addModule)
	deploy.OperationID, deploy.Method, deploy.Path, deploy.Summary = "deploy-module", http.MethodPost, "/api/v1/modules", "Add a module that declares its own name"
	huma.Register(a.huma, deploy, func(ctx context.Context, in *deployModule) (*huma.StreamResponse, error) {
		return a.addModule(ctx, &addModule{Accept: in.Accept, Payload: in.Payload})
	})
	huma.Register(a.huma, operation("list-modules", http.MethodGet, "/modules", "List the newest version of each module"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.Module], error) {
			all, err := a.engine.Modules(ctx)
			return byName("/modules", all, *in, func(m flawless.Module) string { return m.Name }), reply.From(err)
		})
	huma.Register(a.huma, operation("get-module", http.MethodGet, "/modules/{name}", "List the versions of a module, newest first"),
		func(ctx context.Context, in *struct {
			ModulePath
			From  int `query:"from" minimum:"0" doc:"first version of the page; 0 is the newest"`
			Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"maximum number of entries"`
		}) (*listed[flawless.Module], error) {
			all, err := a.engine.Module(ctx, in.Name)
			if in.From > 0 {
				all = slices.DeleteFunc(all, func(m flawless.Module) bool { return m.Version > in.From })
			}
			version := func(m flawless.Module) string { return strconv.Itoa(m.Version) }
			return page("/modules/"+url.PathEscape(in.Name), all, PageQuery{Limit: in.Limit}, version), reply.From(err)
		})
	huma.Register(a.huma, operation("get-source", http.MethodGet, "/modules/{name}/source", "List the source files in a module, or read one of them"),
		func(ctx context.Context, in *struct {
			ModulePath
			Version int    `query:"version" minimum:"0" doc:"version of the module; 0 is the newest"`
			Digest  string `query:"digest" maxLength:"64" doc:"digest of the module, as a run has it, instead of the version"`
			File    string `query:"file" maxLength:"1000" doc:"return this file with its text; a call site such as shop/main.go will do if only one path ends so. Default: list all files without their texts"`
		}) (*body[flawless.Source], error) {
			s, err := a.engine.Source(ctx, in.Name, in.Version, in.Digest, in.File)
			return &body[flawless.Source]{s}, reply.From(err)
		})
	a.upgrades()
}

func (a *api) addModule(ctx context.Context, in *addModule) (*huma.StreamResponse, error) {
	if err := a.needShard(ctx); err != nil {
		return nil, reply.From(err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		if !strings.Contains(in.Accept, "text/event-stream") {
			m, added, err := a.engine.AddModule(c.Context(), in.Name, in.Bytes, nil)
			a.write(c, Added{m, added}, added, err)
			return
		}
		s := a.openStream(c)
		m, added, err := a.engine.AddModule(c.Context(), in.Name, in.Bytes, func(stage string, done float64) {
			_ = s.send("progress", "", Progress{stage, done})
		})
		if err != nil {
			_ = s.send("problem", "", reply.From(err))
			return
		}
		_ = s.send("result", "", Added{m, added})
	}}, nil
}

// write answers with v or with the problem err.
func (a *api) write(c huma.Context, v any, created bool, err error) {
	status, kind := http.StatusOK, "application/json"
	if created {
		status = http.StatusCreated
	}
	if p := new(reply.Problem); errors.As(reply.From(err), &p) {
		status, kind, v = p.Status, p.ContentType(""), p
		p.SetHeaders(c.SetHeader)
	}
	c.SetHeader("Content-Type", kind)
	c.SetStatus(status)
	_ = a.encode(c.BodyWriter(), v)
}
