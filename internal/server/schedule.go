package server

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/flawless-engine/flawless"
	"github.com/flawless-engine/flawless/internal/schedule"
)

// SetSchedule asks for a schedule.
type SetSchedule struct {
	Cron         string            `json:"cron" doc:"minute hour day month weekday, also with seconds before, or a word such as @daily"`
	Zone         string            `json:"zone,omitempty" doc:"whose clock is meant, such as Europe/Berlin; UTC where it is missing"`
	Module       string            `json:"module"`
	Workflow     string            `json:"workflow"`
	Input        json.RawMessage   `json:"input,omitempty" doc:"any JSON that fits the workflow's schema"`
	Overlap      flawless.Overlap  `json:"overlap,omitempty" doc:"when the run before is still open: skip (the default), queue one, allow, or cancel it"`
	JitterMS     int64             `json:"jitter_ms,omitempty" doc:"each time is put off by a random part of this, but not past the next time"`
	Labels       map[string]string `json:"labels,omitempty" doc:"of its runs, besides schedule=NAME"`
	CatchUpMS    int64             `json:"catch_up_ms,omitempty" doc:"for how long times are made up for that came while no server was up; an hour where it is missing"`
	CatchUpLimit int               `json:"catch_up_limit,omitempty" minimum:"1" maximum:"10000" doc:"how many times are made up for at once, 1 to 10000; 100 where it is missing. Older ones are missed"`
	Paused       bool              `json:"paused,omitempty" doc:"start no runs until the schedule is resumed"`
	Note         string            `json:"note,omitempty" minLength:"0" doc:"why it is paused"`

	Version        string `json:"version,omitempty" doc:"of the module, as its author or the server calls it; each run takes the newest without it"`
	DeadlineMS     int64  `json:"deadline_ms,omitempty" doc:"each run is asked to give up this long after its start"`
	GraceMS        int64  `json:"grace_ms,omitempty" doc:"and is terminated this much later; a minute without it"`
	ConcurrencyKey string `json:"concurrency_key,omitempty" doc:"shared by the runs of which only so many may be under way at once"`
	Concurrency    int    `json:"concurrency,omitempty" doc:"how many of the key; 1 where it is missing"`
	Priority       int    `json:"priority,omitempty" doc:"of those that wait for their place the highest begins first, then the oldest"`
}

// Triggered is the answer to a trigger.
type Triggered struct {
	Run     flawless.Run `json:"run"`
	Started bool         `json:"started" doc:"false where the key was known"`
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
			Replace bool `query:"replace" doc:"take the place of the schedule of that name"`
			Body    SetSchedule
		}) (*one, error) {
			b := in.Body
			s, err := a.engine.SetSchedule(ctx, flawless.Schedule{Name: in.Name, Cron: b.Cron, Zone: b.Zone, Module: b.Module, Workflow: b.Workflow,
				Input: b.Input, Overlap: b.Overlap, JitterMS: b.JitterMS, CatchUpMS: b.CatchUpMS, Labels: b.Labels,
				CatchUpLimit: b.CatchUpLimit, Paused: b.Paused, Note: b.Note, Version: b.Version, DeadlineMS: b.DeadlineMS, GraceMS: b.GraceMS,
				Place: &flawless.Place{Key: b.ConcurrencyKey, Limit: b.Concurrency, Priority: b.Priority}}, in.Replace)
			return &one{s}, problem(err)
		})
	huma.Register(a.huma, operation("list-schedules", http.MethodGet, "/schedules", "All schedules"),
		func(ctx context.Context, in *PageQuery) (*listed[flawless.Schedule], error) {
			all, err := a.engine.Schedules(ctx)
			return byName("/schedules", all, *in, func(x flawless.Schedule) string { return x.Name }), problem(err)
		})
	huma.Register(a.huma, operation("get-schedule", http.MethodGet, "/schedules/{name}", "One schedule"),
		func(ctx context.Context, in *SchedulePath) (*one, error) {
			s, err := a.engine.Schedule(ctx, in.Name)
			return &one{s}, problem(err)
		})
	huma.Register(a.huma, operation("remove-schedule", http.MethodDelete, "/schedules/{name}", "Remove a schedule; its runs are left alone"),
		func(ctx context.Context, in *SchedulePath) (*struct{}, error) {
			return nil, problem(a.engine.RemoveSchedule(ctx, in.Name))
		})
	huma.Register(a.huma, operation("pause-schedule", http.MethodPost, "/schedules/{name}/pause", "Keep a schedule from starting runs"),
		func(ctx context.Context, in *struct {
			SchedulePath
			Body Word
		}) (*one, error) {
			s, err := a.engine.PauseSchedule(ctx, in.Name, in.Body.Note)
			return &one{s}, problem(err)
		})
	huma.Register(a.huma, operation("resume-schedule", http.MethodPost, "/schedules/{name}/resume", "Let a schedule go on with its next time"),
		func(ctx context.Context, in *SchedulePath) (*one, error) {
			s, err := a.engine.ResumeSchedule(ctx, in.Name)
			return &one{s}, problem(err)
		})
	huma.Register(a.huma, operation("trigger-schedule", http.MethodPost, "/schedules/{name}/trigger", "Start a run of a schedule at once"),
		func(ctx context.Context, in *struct {
			SchedulePath
			Key string `query:"key" doc:"the same key starts one run, however often it is asked for"`
		}) (*body[Triggered], error) {
			r, started, err := a.engine.TriggerSchedule(ctx, in.Name, in.Key)
			return &body[Triggered]{Triggered{r, started}}, problem(err)
		})
	huma.Register(a.huma, operation("backfill-schedule", http.MethodPost, "/schedules/{name}/backfill", "Start the runs of times that are over and have none"),
		func(ctx context.Context, in *struct {
			SchedulePath
			From time.Time `query:"from" required:"true" doc:"the first moment"`
			To   time.Time `query:"to" required:"true" doc:"the moment after the last one"`
		}) (*body[schedule.Backfill], error) {
			b, err := a.engine.BackfillSchedule(ctx, in.Name, in.From, in.To)
			return &body[schedule.Backfill]{b}, problem(err)
		})
}
