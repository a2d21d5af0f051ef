package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
)

// StartRun asks for a run.
type StartRun struct {
	Module   string            `json:"module"`
	Workflow string            `json:"workflow"`
	Input    json.RawMessage   `json:"input,omitempty" doc:"any JSON that fits the workflow's schema"`
	Version  string            `json:"version,omitempty" doc:"of the module, as its author or the server calls it; the newest without it"`
	Labels   map[string]string `json:"labels,omitempty" doc:"for lists; at most 20"`
	Deadline *time.Time        `json:"deadline,omitempty" doc:"the run is asked to give up then"`
	Grace    string            `json:"grace,omitempty" doc:"and is terminated this much later, such as 30s; 1m without it"`
	ID       string            `json:"id,omitempty" doc:"the caller's own key: the same id starts one run, however often it is asked for"`

	ConcurrencyKey string `json:"concurrency_key,omitempty" doc:"shared by the runs of which only so many may be under way at once"`
	Concurrency    int    `json:"concurrency,omitempty" doc:"how many of the key; 1 where it is missing"`
	Priority       int    `json:"priority,omitempty" doc:"of those that wait for their place the highest begins first, then the oldest"`
}

// Started is the answer to a start.
type Started struct {
	Run     flawless.Run `json:"run"`
	Started bool         `json:"started" doc:"false where the id was known with the same input"`
}

// Page is a part of a list.
type Page struct {
	Runs []flawless.Run `json:"runs"`
	Next string         `json:"next,omitempty" doc:"cursor of the next page; missing at the end. A page may have fewer runs than its limit before"`
}

// Word is what somebody says when a run is to end.
type Word struct {
	Who  string `json:"who,omitempty" minLength:"0"`
	Note string `json:"note,omitempty" minLength:"0" doc:"why"`
}

// Resolve is a person's word on a call of unknown outcome.
type Resolve struct {
	Resolution flawless.Resolution `json:"resolution"`
	Text       string              `json:"text,omitempty" doc:"with error: what the code is told"`
	Status     int                 `json:"status,omitempty" doc:"with response: its status, 200 where it is missing"`
	Response   flawless.Bytes      `json:"body,omitempty" doc:"with response: its body"`
	Word
}

// RunPath names a run in a path.
type RunPath struct {
	ID string `path:"id" doc:"id of the run"`
}

func (a *api) runs() {
	start := operation("start-run", http.MethodPost, "/runs", "Start a run")
	start.Responses = map[string]*huma.Response{
		"200": a.answered("the id was known with the same input", typeOf[Started]()),
		"201": a.answered("started", typeOf[Started]()),
	}
	huma.Register(a.huma, start, a.start)
	huma.Register(a.huma, operation("list-runs", http.MethodGet, "/runs", "Runs, newest first"), a.list)
	huma.Register(a.huma, operation("get-run", http.MethodGet, "/runs/{id}", "One run"),
		func(ctx context.Context, in *struct {
			RunPath
			Wait bool `query:"wait" doc:"answer when the run has ended or needs a decision"`
		}) (*body[flawless.Run], error) {
			get := a.engine.Run
			if in.Wait {
				get = a.engine.Settled
			}
			r, err := get(ctx, in.ID)
			if err == nil {
				r, err = a.engine.WithSent(ctx, r)
			}
			return &body[flawless.Run]{r}, problem(err)
		})
	a.logs()
	huma.Register(a.huma, operation("get-data", http.MethodGet, "/runs/{id}/data", "What the run published last"),
		func(ctx context.Context, in *RunPath) (*body[json.RawMessage], error) {
			d, err := a.engine.Data(ctx, in.ID)
			return &body[json.RawMessage]{d}, problem(err)
		})
	type worded struct {
		RunPath
		Body Word
	}
	huma.Register(a.huma, operation("cancel-run", http.MethodPost, "/runs/{id}/cancel", "Ask a run to give up"),
		func(ctx context.Context, in *struct {
			RunPath
			Deadline time.Time `query:"deadline" doc:"the run is terminated if it has not ended by then"`
			Body     Word
		}) (*body[flawless.Run], error) {
			c := flawless.Cancel{Who: in.Body.Who, Note: in.Body.Note}
			if !in.Deadline.IsZero() {
				c.Deadline = engine.Moment(in.Deadline)
			}
			r, err := a.engine.Cancel(ctx, in.ID, c)
			return &body[flawless.Run]{r}, problem(err)
		})
	pause := func(resume bool) func(context.Context, *worded) (*body[flawless.Run], error) {
		return func(ctx context.Context, in *worded) (*body[flawless.Run], error) {
			r, err := a.engine.Pause(ctx, in.ID, flawless.Pause{Resume: resume, Who: in.Body.Who, Note: in.Body.Note})
			return &body[flawless.Run]{r}, problem(err)
		}
	}
	huma.Register(a.huma, operation("pause-run", http.MethodPost, "/runs/{id}/pause", "Let a run take no more turns"), pause(false))
	huma.Register(a.huma, operation("resume-run", http.MethodPost, "/runs/{id}/resume", "Let a paused run go on"), pause(true))
	huma.Register(a.huma, operation("restart-run", http.MethodPost, "/runs/{id}/restart", "Start a new run on the terms of one that has failed"),
		func(ctx context.Context, in *struct {
			RunPath
			Key     string `query:"id" doc:"id of the new run: the same id starts one, however often it is asked for"`
			Version string `query:"version" doc:"of the module; the default is the one that was asked for when the run was started, or else the newest"`
		}) (*body[flawless.Run], error) {
			r, err := a.engine.Restart(ctx, in.ID, in.Key, in.Version)
			return &body[flawless.Run]{r}, problem(err)
		})
	huma.Register(a.huma, operation("terminate-run", http.MethodPost, "/runs/{id}/terminate", "End a run without asking it"),
		func(ctx context.Context, in *worded) (*body[flawless.Run], error) {
			r, err := a.engine.Terminate(ctx, in.ID, flawless.Cancel{Who: in.Body.Who, Note: in.Body.Note})
			return &body[flawless.Run]{r}, problem(err)
		})
	huma.Register(a.huma, operation("resolve-call", http.MethodPost, "/runs/{id}/calls/{n}/resolve", "Decide about a call whose outcome nobody can know"),
		func(ctx context.Context, in *struct {
			RunPath
			N    int `path:"n" doc:"number of the call"`
			Body Resolve
		}) (*body[flawless.Run], error) {
			b := in.Body
			r, err := a.engine.Resolve(ctx, in.ID, flawless.Decision{Call: in.N, Resolution: b.Resolution, Text: b.Text, Status: b.Status, Body: b.Response, Who: b.Who, Note: b.Note})
			return &body[flawless.Run]{r}, problem(err)
		})
}

type started struct {
	Status int
	Body   Started
}

func (a *api) start(ctx context.Context, in *struct {
	Wait bool `query:"wait" doc:"answer when the run has ended or needs a decision"`
	Body StartRun
},
) (*started, error) {
	o := engine.Start{Module: in.Body.Module, Workflow: in.Body.Workflow, Input: in.Body.Input, ID: in.Body.ID, Labels: in.Body.Labels, Version: in.Body.Version,
		Place: flawless.Place{Key: in.Body.ConcurrencyKey, Limit: in.Body.Concurrency, Priority: in.Body.Priority}}
	if in.Body.Deadline != nil {
		o.Deadline = *in.Body.Deadline
	}
	var err error
	if in.Body.Grace != "" {
		if o.Grace, err = time.ParseDuration(in.Body.Grace); err != nil || o.Grace <= 0 {
			return nil, problem(fmt.Errorf("member grace is %q, give a time above zero such as 30s: %w", in.Body.Grace, flawless.Invalid))
		}
	}
	r, isNew, err := a.engine.Start(ctx, o)
	if err != nil {
		return nil, problem(err)
	}
	if in.Wait && !r.Status.Ended() {
		if r, err = a.engine.Settled(ctx, r.ID); err != nil {
			return nil, problem(err)
		}
	}
	out := &started{http.StatusOK, Started{r, isNew}}
	if isNew {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func (a *api) list(ctx context.Context, in *struct {
	Status   []flawless.Status `query:"status" doc:"any of these"`
	Module   string            `query:"module"`
	Workflow string            `query:"workflow"`
	Since    time.Time         `query:"since" doc:"created at or after"`
	Until    time.Time         `query:"until" doc:"created before"`
	Label    []string          `query:"label,explode" doc:"name=value; may be repeated, all must be there"`
	Parent   string            `query:"parent" doc:"spawned by this run"`
	Retrying bool              `query:"retrying" doc:"only runs with a call that has failed and is tried again"`
	Limit    int               `query:"limit" minimum:"1" maximum:"1000" default:"50"`
	Cursor   string            `query:"cursor" minLength:"0" doc:"next of the page before"`
},
) (*body[Page], error) {
	labels := map[string]string{}
	for _, text := range in.Label {
		name, value, err := flawless.ParseLabel(text)
		if err != nil {
			return nil, problem(err)
		}
		labels[name] = value
	}
	runs, next, err := a.engine.Runs(ctx, flawless.Filter{Status: in.Status, Module: in.Module, Workflow: in.Workflow, Since: in.Since,
		Until: in.Until, Labels: labels, Parent: in.Parent, Retrying: in.Retrying, Limit: in.Limit, Cursor: in.Cursor})
	if runs == nil {
		runs = []flawless.Run{}
	}
	for i := range runs {
		runs[i] = runs[i].Listed()
	}
	return &body[Page]{Page{runs, next}}, problem(err)
}
