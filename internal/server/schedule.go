package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/forward"
	"github.com/flawless-engine/flawless/internal/reply"
	"github.com/flawless-engine/flawless/internal/schedule"
)

// SetSchedule asks for a schedule.
type SetSchedule struct {
	Cron         string            `json:"cron" doc:"cron expression: minute, hour, day, month, weekday, optionally seconds in front and years at the end; or a word such as @daily"`
	Zone         string            `json:"zone,omitempty" doc:"time zone, such as Europe/Berlin; default UTC"`
	Module       string            `json:"module"`
	Workflow     string            `json:"workflow"`
	Input        json.RawMessage   `json:"input,omitempty" doc:"any JSON that matches the schema of the workflow"`
	Overlap      flawless.Overlap  `json:"overlap,omitempty" doc:"what to do if the previous run is still open: skip (default), queue, allow or cancel"`
	JitterMS     int64             `json:"jitter_ms,omitempty" doc:"each start is delayed by a random time up to this, but not past the next start; at most one day"`
	Labels       map[string]string `json:"labels,omitempty" doc:"labels of its runs, in addition to schedule=NAME"`
	CatchUpMS    int64             `json:"catch_up_ms,omitempty" doc:"how far back runs that were missed while the server was down are started; default one hour, 10 seconds to 10 years"`
	CatchUpLimit int               `json:"catch_up_limit,omitempty" minimum:"1" maximum:"10000" doc:"maximum number of missed runs to start, the newest; 1 to 10000, default 100"`
	Paused       bool              `json:"paused,omitempty" doc:"create the schedule paused"`
	Note         string            `json:"note,omitempty" minLength:"0" doc:"reason for the pause"`

	Version        string `json:"version,omitempty" doc:"version of the module, as declared by its author or numbered by the server; default: the newest at each start"`
	DeadlineMS     int64  `json:"deadline_ms,omitempty" doc:"each run is cancelled this long after its start; at most 10 years, 0 is never"`
	GraceMS        int64  `json:"grace_ms,omitempty" doc:"time from the deadline until the run is terminated; default one minute, at most 10 years; needs a deadline"`
	ConcurrencyKey string `json:"concurrency_key,omitempty" doc:"key shared by runs of which a limited number are in progress at once"`
	Concurrency    int    `json:"concurrency,omitempty" doc:"maximum number of runs of the key in progress at once; default 1"`
	Priority       int    `json:"priority,omitempty" doc:"priority in the queue; the highest goes first, then the oldest"`
}

// Triggered is the answer to a trigger.
type Triggered struct {
	Run     flawless.Run `json:"run"`
	Started bool         `json:"started" doc:"false if a run with this key already existed"`
}

// Times are the next times of a cron expression.
type Times struct {
	Times []time.Time `json:"times"`
}

// SchedulePath names a schedule in a path.
type SchedulePath struct {
	Name string `path:"name" doc:"name of the schedule"`
}

func (a *api) schedules() {
	type one = body[flawless.Schedule]
	huma.Register(a.huma, operation("set-schedule", http.MethodPut, "/schedules/{name}", "Add a schedule"),
		func(ctx context.Context, in *struct {
			SchedulePath
			Replace bool `query:"replace" doc:"replace an existing schedule of the same name"`
			Body    SetSchedule
		}) (*one, error) {
			b := in.Body
			s, err := a.engine.Schedules().Set(ctx, flawless.Schedule{Name: in.Name, Cron: b.Cron, Zone: b.Zone, Module: b.Module, Workflow: b.Workflow,
				Input: b.Input, Overlap: b.Overlap, JitterMS: b.JitterMS, CatchUpMS: b.CatchUpMS, Labels: b.Labels,
				CatchUpLimit: b.CatchUpLimit, Paused: b.Paused, Note: b.Note, Version: b.Version, DeadlineMS: b.DeadlineMS, GraceMS: b.GraceMS,
				Queue: &flawless.QueueOptions{Key: b.ConcurrencyKey, Limit: b.Concurrency, Priority: b.Priority}}, in.Replace)
			return &one{s}, reply.From(err)
		})
	huma.Register(a.huma, operation("list-schedules", http.MethodGet, "/schedules", "List schedules"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.Schedule], error) {
			all, err := a.engine.ListSchedules(ctx)
			if err != nil {
				return nil, reply.From(err)
			}
			return byName("/schedules", all, *in, func(x flawless.Schedule) string { return x.Name }), nil
		})
	huma.Register(a.huma, operation("list-times", http.MethodGet, "/schedule-times", "List the next times of a cron expression, to see what a schedule would do"),
		func(ctx context.Context, in *struct {
			Cron  string    `query:"cron" required:"true" doc:"cron expression, as for a schedule"`
			Zone  string    `query:"zone" doc:"time zone, such as Europe/Berlin; default UTC"`
			From  time.Time `query:"from" doc:"list times after this one; default now"`
			Limit int       `query:"limit" minimum:"1" maximum:"100" default:"10" doc:"maximum number of times"`
		}) (*body[Times], error) {
			if in.From.IsZero() {
				in.From = time.Now()
			}
			t, err := schedule.Times(in.Cron, in.Zone, in.From, in.Limit)
			return &body[Times]{Times{t}}, reply.From(err)
		})
	huma.Register(a.huma, operation("get-schedule", http.MethodGet, "/schedules/{name}", "Get a schedule"),
		func(ctx context.Context, in *SchedulePath) (*one, error) {
			s, err := a.engine.Schedules().Get(in.Name)
			return &one{s}, reply.From(err)
		})
	huma.Register(a.huma, operation("remove-schedule", http.MethodDelete, "/schedules/{name}", "Remove a schedule; its runs are not affected"),
		func(ctx context.Context, in *SchedulePath) (*struct{}, error) {
			return nil, reply.From(a.engine.Schedules().Remove(ctx, in.Name))
		})
	huma.Register(a.huma, operation("pause-schedule", http.MethodPost, "/schedules/{name}/pause", "Pause a schedule"),
		func(ctx context.Context, in *struct {
			SchedulePath
			Body Word
		}) (*one, error) {
			s, err := a.engine.Schedules().Pause(in.Name, in.Body.Note)
			return &one{s}, reply.From(err)
		})
	huma.Register(a.huma, operation("resume-schedule", http.MethodPost, "/schedules/{name}/resume", "Resume a paused schedule"),
		func(ctx context.Context, in *SchedulePath) (*one, error) {
			s, err := a.engine.Schedules().Resume(in.Name)
			return &one{s}, reply.From(err)
		})
	huma.Register(a.huma, operation("trigger-schedule", http.MethodPost, "/schedules/{name}/trigger", "Start a run of a schedule now"),
		func(ctx context.Context, in *struct {
			SchedulePath
			Key string `query:"key" doc:"key of this run; the same key never starts a second run"`
		}) (*body[Triggered], error) {
			r, started, err := a.engine.Schedules().Trigger(ctx, in.Name, forward.Made(ctx, in.Key, a.engine.NewID))
			return &body[Triggered]{Triggered{r, started}}, reply.From(err)
		})
	huma.Register(a.huma, operation("backfill-schedule", http.MethodPost, "/schedules/{name}/backfill", "Start runs for past times that have none"),
		func(ctx context.Context, in *struct {
			SchedulePath
			From time.Time `query:"from" required:"true" doc:"start of the range (inclusive)"`
			To   time.Time `query:"to" required:"true" doc:"end of the range (exclusive)"`
		}) (*body[schedule.Backfill], error) {
			b, err := a.engine.Schedules().Backfill(ctx, in.Name, in.From, in.To)
			return &body[schedule.Backfill]{b}, reply.From(err)
		})
}
