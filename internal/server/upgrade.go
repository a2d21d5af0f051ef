package server

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/reply"
)

// UpgradeModule asks for an upgrade.
type UpgradeModule struct {
	Name         string   `path:"name" doc:"name of the module"`
	Accept       string   `header:"Accept" doc:"text/event-stream returns progress events, then result or problem"`
	Runs         []string `query:"run,explode" doc:"only these runs; default: all open runs"`
	From         int      `query:"from" minimum:"0" doc:"only runs of this version"`
	Parallel     int      `query:"parallel" minimum:"0" maximum:"256" doc:"number of runs to check in parallel"`
	DryRun       bool     `query:"dry_run" doc:"only report, move nothing"`
	AllOrNothing bool     `query:"all_or_nothing" doc:"move no run unless all can be moved"`
	Limit        int      `query:"limit" minimum:"1" maximum:"100000" default:"1000" doc:"maximum number of runs in the report, those that cannot move first; the counts include all"`
	Who          string   `query:"who" doc:"who moves the runs, kept in the log"`
	Payload
}

// UpgradeProgress is the progress of an upgrade.
type UpgradeProgress struct {
	Stage string `json:"stage"` // checking, holding, moving
	Done  int    `json:"done"`
	All   int    `json:"all"`
}

func (a *api) upgrades() {
	op := operation("upgrade-module", http.MethodPost, "/modules/{name}/upgrade", "Move open runs to the newest version if their logs replay with it")
	op.Description = "Upgrade check: replays every open run with the newest version, or with dry_run the one in the body, then moves the runs that make every call in their logs again."
	op.Responses = map[string]*huma.Response{"200": a.answered("the report", typeOf[flawless.ModuleUpgrade](), eventKind{"progress", typeOf[UpgradeProgress]()})}
	withCode(a, op, a.upgrade)
	remove := operation("remove-module", http.MethodDelete, "/modules/{name}", "Remove a module, or one version of it, that no open run uses")
	huma.Register(a.huma, remove, func(ctx context.Context, in *struct {
		Name    string `path:"name" doc:"name of the module"`
		Version int    `query:"version" minimum:"0" doc:"remove only this version"`
	}) (*body[[]flawless.Module], error) {
		m, err := a.engine.RemoveModule(ctx, in.Name, in.Version)
		return &body[[]flawless.Module]{m}, reply.From(err)
	})
}

func (a *api) upgrade(ctx context.Context, in *UpgradeModule) (*huma.StreamResponse, error) {
	if err := a.needShard(ctx); err != nil {
		return nil, reply.From(err)
	}
	o := engine.Upgrade{Runs: in.Runs, From: in.From, Parallel: in.Parallel, DryRun: in.DryRun, AllOrNothing: in.AllOrNothing, Limit: in.Limit, Who: in.Who}
	if len(in.Bytes) > 0 {
		o.Module = in.Bytes
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		if !strings.Contains(in.Accept, "text/event-stream") {
			report, err := a.engine.Upgrade(c.Context(), in.Name, o)
			a.write(c, report, false, err)
			return
		}
		s := a.openStream(c)
		var mu sync.Mutex
		var told time.Time
		o.Progress = func(stage string, done, all int) {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); done == all || now.Sub(told) > 100*time.Millisecond {
				told = now
				_ = s.send("progress", "", UpgradeProgress{stage, done, all})
			}
		}
		report, err := a.engine.Upgrade(c.Context(), in.Name, o)
		if err != nil {
			_ = s.send("problem", "", reply.From(err))
			return
		}
		_ = s.send("result", "", report)
	}}, nil
}
