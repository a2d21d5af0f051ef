package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/engine"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
)

// StartRun asks for a run.
type StartRun struct {
	Module   string            `json:"module"`
	Workflow string            `json:"workflow"`
	Input    json.RawMessage   `json:"input,omitempty" doc:"any JSON that matches the schema of the workflow"`
	Version  string            `json:"version,omitempty" doc:"version of the module, as declared by its author or numbered by the server; default: the newest"`
	Labels   map[string]string `json:"labels,omitempty" doc:"labels to filter lists by; at most 20"`
	Deadline *time.Time        `json:"deadline,omitempty" doc:"time at which the run is cancelled, within the next 10 years"`
	Grace    string            `json:"grace,omitempty" doc:"time from the deadline until the run is terminated, such as 30s; default 1m, at most 10 years; needs a deadline"`
	ID       string            `json:"id,omitempty" doc:"your own id for the run; the same id never starts a second run"`

	ConcurrencyKey string `json:"concurrency_key,omitempty" doc:"key shared by runs of which a limited number are in progress at once"`
	Concurrency    int    `json:"concurrency,omitempty" doc:"maximum number of runs of the key in progress at once; default 1"`
	Priority       int    `json:"priority,omitempty" doc:"priority in the queue; the highest goes first, then the oldest"`
}

// Started is the answer to a start.
type Started struct {
	Run     flawless.Run `json:"run"`
	Started bool         `json:"started" doc:"false if a run with this id and input already existed"`
}

// Page is a page of runs.
type Page struct {
	Runs    []flawless.Run `json:"runs"`
	Next    string         `json:"next,omitempty" doc:"cursor of the next page; missing on the last page. Other pages may also have fewer runs than the limit"`
	Partial bool           `json:"partial,omitempty" doc:"the search stopped early in order to answer quickly; continue with next, even if there are no runs here"`
}

// Word is who requests a change of a run, and why.
type Word struct {
	Who  string `json:"who,omitempty" minLength:"0"`
	Note string `json:"note,omitempty" minLength:"0" doc:"reason, kept in the log"`
}

// Resolve is a decision about a call whose outcome is unknown.
type Resolve struct {
	Resolution flawless.Resolution `json:"resolution"`
	Text       string              `json:"text,omitempty" doc:"with error: the message that the code gets"`
	Status     int                 `json:"status,omitempty" doc:"with response: its HTTP status; default 200"`
	Response   flawless.Bytes      `json:"body,omitempty" doc:"with response: its body"`
	Confirm    bool                `json:"confirm,omitempty" doc:"with retry: send it although the server that made the call was not seen to stop (unseen)"`
	Word
}

// RunPath names a run in a path.
type RunPath struct {
	ID string `path:"id" doc:"id of the run"`
}

func (a *api) runs() {
	start := operation("start-run", http.MethodPost, "/runs", "Start a run")
	start.Responses = map[string]*huma.Response{
		"200": a.answered("a run with this id and input already existed", typeOf[Started]()),
		"201": a.answered("started", typeOf[Started]()),
	}
	huma.Register(a.huma, start, a.start)
	huma.Register(a.huma, operation("list-runs", http.MethodGet, "/runs", "List runs, newest first"), a.list)
	huma.Register(a.huma, operation("get-run", http.MethodGet, "/runs/{id}", "Get a run"),
		func(ctx context.Context, in *struct {
			RunPath
			Wait bool `query:"wait" doc:"wait until the run has ended or needs a decision"`
		}) (*body[flawless.Run], error) {
			get := a.engine.Run
			if in.Wait {
				get = a.engine.Settled
			} else if err := a.ownersWord(ctx, in.ID); err != nil {
				return nil, reply.From(err)
			}
			r, err := get(ctx, in.ID)
			if err == nil {
				r, err = a.engine.WithSent(ctx, r)
			}
			return &body[flawless.Run]{r}, reply.From(err)
		})
	a.logs()
	huma.Register(a.huma, operation("get-data", http.MethodGet, "/runs/{id}/data", "Get the data that a run published last"),
		func(ctx context.Context, in *RunPath) (*body[json.RawMessage], error) {
			d, err := a.engine.Data(ctx, in.ID)
			return &body[json.RawMessage]{d}, reply.From(err)
		})
	type worded struct {
		RunPath
		Body Word
	}
	huma.Register(a.huma, operation("cancel-run", http.MethodPost, "/runs/{id}/cancel", "Cancel a run and let its code clean up"),
		func(ctx context.Context, in *struct {
			RunPath
			Deadline time.Time `query:"deadline" doc:"time at which the run is terminated if it is still open, within the next 10 years"`
			Body     Word
		}) (*body[flawless.Run], error) {
			c := flawless.Cancel{Who: in.Body.Who, Note: in.Body.Note}
			if !in.Deadline.IsZero() {
				c.Deadline = engine.Moment(in.Deadline)
			}
			r, err := a.engine.Cancel(ctx, in.ID, c)
			return &body[flawless.Run]{r}, reply.From(err)
		})
	pause := func(resume bool) func(context.Context, *worded) (*body[flawless.Run], error) {
		return func(ctx context.Context, in *worded) (*body[flawless.Run], error) {
			r, err := a.engine.Pause(ctx, in.ID, flawless.Pause{Resume: resume, Who: in.Body.Who, Note: in.Body.Note})
			return &body[flawless.Run]{r}, reply.From(err)
		}
	}
	huma.Register(a.huma, operation("pause-run", http.MethodPost, "/runs/{id}/pause", "Pause a run"), pause(false))
	huma.Register(a.huma, operation("resume-run", http.MethodPost, "/runs/{id}/resume", "Resume a paused run"), pause(true))
	huma.Register(a.huma, operation("restart-run", http.MethodPost, "/runs/{id}/restart", "Run a failed, cancelled or terminated run again"),
		func(ctx context.Context, in *struct {
			RunPath
			Key     string `query:"id" doc:"id of the new run; the same id never starts a second run"`
			Version string `query:"version" doc:"version of the module; default: the one that was requested for the old run, or else the newest"`
		}) (*body[flawless.Run], error) {
			r, err := a.engine.Restart(ctx, in.ID, forward.Made(ctx, in.Key, a.engine.NewID), in.Version)
			return &body[flawless.Run]{r}, reply.From(err)
		})
	huma.Register(a.huma, operation("terminate-run", http.MethodPost, "/runs/{id}/terminate", "End a run at once, without letting its code clean up"),
		func(ctx context.Context, in *worded) (*body[flawless.Run], error) {
			r, err := a.engine.Terminate(ctx, in.ID, flawless.Cancel{Who: in.Body.Who, Note: in.Body.Note})
			return &body[flawless.Run]{r}, reply.From(err)
		})
	huma.Register(a.huma, operation("resolve-call", http.MethodPost, "/runs/{id}/calls/{n}/resolve", "Decide about a call whose outcome is unknown"),
		func(ctx context.Context, in *struct {
			RunPath
			N    int `path:"n" doc:"number of the call"`
			Body Resolve
		}) (*body[flawless.Run], error) {
			b := in.Body
			r, err := a.engine.Resolve(ctx, in.ID, flawless.Decision{Call: in.N, Resolution: b.Resolution, Text: b.Text, Status: b.Status, Body: b.Response, Who: b.Who, Note: b.Note, Confirm: b.Confirm})
			return &body[flawless.Run]{r}, reply.From(err)
		})
}

type started struct {
	Status int
	Body   Started
}

func (a *api) start(ctx context.Context, in *struct {
	Wait bool `query:"wait" doc:"wait until the run has ended or needs a decision"`
	Body StartRun
},
) (*started, error) {
	o := engine.Start{Module: in.Body.Module, Workflow: in.Body.Workflow, Input: in.Body.Input, ID: forward.Made(ctx, in.Body.ID, a.engine.NewID), Labels: in.Body.Labels, Version: in.Body.Version,
		Queue: flawless.QueueOptions{Key: in.Body.ConcurrencyKey, Limit: in.Body.Concurrency, Priority: in.Body.Priority}}
	if in.Body.Deadline != nil {
		if o.Deadline = *in.Body.Deadline; o.Deadline.IsZero() {
			return nil, reply.From(fmt.Errorf("the deadline is the year 1, as of a variable that is not set; give it a value or omit it: %w", flawless.Invalid))
		}
	}
	var err error
	if in.Body.Grace != "" {
		if o.Grace, err = time.ParseDuration(in.Body.Grace); err != nil || o.Grace <= 0 {
			return nil, reply.From(fmt.Errorf("grace is %q; use a duration greater than zero, such as 30s: %w", in.Body.Grace, flawless.Invalid))
		}
	}
	r, isNew, err := a.engine.Start(ctx, o)
	if err != nil {
		return nil, reply.From(err)
	}
	if in.Wait && !r.Status.Ended() {
		if r, err = a.engine.Settled(ctx, r.ID); err != nil {
			return nil, reply.From(err)
		}
	}
	out := &started{http.StatusOK, Started{r, isNew}}
	if isNew {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func (a *api) list(ctx context.Context, in *struct {
	Status   []flawless.Status `query:"status" doc:"runs with any of these statuses"`
	Module   string            `query:"module" doc:"runs of this module"`
	Workflow string            `query:"workflow" doc:"runs of this workflow"`
	Since    time.Time         `query:"since" doc:"runs created at or after this time"`
	Until    time.Time         `query:"until" doc:"runs created before this time"`
	Label    []string          `query:"label,explode" doc:"label as name=value; repeatable, all must match"`
	Parent   string            `query:"parent" doc:"runs started by this run"`
	Retrying bool              `query:"retrying" doc:"only runs with a failed call that is being retried"`
	Prefix   string            `query:"prefix" maxLength:"1000" doc:"runs whose id begins with this"`
	Text     string            `query:"text" maxLength:"1000" doc:"runs with this text in their failure or problem, or in the reason or request of a call that is unresolved or retried; case does not matter"`
	Limit    int               `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"maximum number of runs"`
	Cursor   string            `query:"cursor" doc:"next of the previous page"`
},
) (*body[Page], error) {
	labels := map[string]string{}
	for _, text := range in.Label {
		name, value, err := flawless.ParseLabel(text)
		if err != nil {
			return nil, reply.From(err)
		}
		labels[name] = value
	}
	runs, next, err := a.engine.Runs(ctx, flawless.Filter{Status: in.Status, Module: in.Module, Workflow: in.Workflow, Since: in.Since,
		Until: in.Until, Labels: labels, Parent: in.Parent, Retrying: in.Retrying, Prefix: in.Prefix, Text: in.Text, Limit: in.Limit, Cursor: in.Cursor})
	if runs == nil {
		runs = []flawless.Run{}
	}
	for i := range runs {
		runs[i] = runs[i].Listed()
	}
	return &body[Page]{Page{runs, next, next != "" && len(runs) < cmp.Or(in.Limit, 50)}}, reply.From(err)
}
