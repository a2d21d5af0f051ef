package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/flawless-engine/flawless"
)

func schedulePath(name, rest string) string { return "/schedules/" + url.PathEscape(name) + rest }

// SetSchedule adds a schedule; with replace, it may replace one with the same name. It ignores members that the
// server maintains (counts, open runs).
func (c *Client) SetSchedule(ctx context.Context, s flawless.Schedule, replace bool) (flawless.Schedule, error) {
	in := map[string]any{"cron": s.Cron, "module": s.Module, "workflow": s.Workflow,
		"jitter_ms": s.JitterMS, "catch_up_ms": s.CatchUpMS, "labels": s.Labels}
	if s.Zone != "" {
		in["zone"] = s.Zone
	}
	if s.Overlap != "" {
		in["overlap"] = s.Overlap
	}
	if s.CatchUpLimit != 0 {
		in["catch_up_limit"] = s.CatchUpLimit
	}
	if s.Paused {
		in["paused"] = true
	}
	if s.Note != "" {
		in["note"] = s.Note
	}
	if len(s.Input) > 0 {
		in["input"] = s.Input
	}
	if s.Version != "" {
		in["version"] = s.Version
	}
	if s.DeadlineMS != 0 {
		in["deadline_ms"] = s.DeadlineMS
	}
	if s.GraceMS != 0 {
		in["grace_ms"] = s.GraceMS
	}
	if s.Queue != nil {
		in["concurrency"], in["priority"] = s.Queue.Limit, s.Queue.Priority
		if s.Queue.Key != "" {
			in["concurrency_key"] = s.Queue.Key
		}
	}
	a := harmless()
	if !replace { // the second time it already exists
		a = unique("check whether it exists with: flawless schedule show %s", s.Name)
	}
	return update[flawless.Schedule](ctx, c, http.MethodPut, schedulePath(s.Name, ""), flag("replace", replace), in, a)
}

// Schedules returns all schedules, ordered by name.
func (c *Client) Schedules(ctx context.Context) ([]flawless.Schedule, error) {
	return list[flawless.Schedule](ctx, c, "/schedules")
}

// Schedule returns one schedule.
func (c *Client) Schedule(ctx context.Context, name string) (flawless.Schedule, error) {
	return get[flawless.Schedule](ctx, c, schedulePath(name, ""), nil)
}

// ScheduleTimes returns the next n times, at most 100, of a cron expression in a time zone, "" for UTC. There are fewer if the
// expression has no more.
func (c *Client) ScheduleTimes(ctx context.Context, cron, zone string, n int) ([]time.Time, error) {
	q := url.Values{"cron": {cron}, "limit": {strconv.Itoa(n)}}
	if zone != "" {
		q.Set("zone", zone)
	}
	out, err := get[struct{ Times []time.Time }](ctx, c, "/schedule-times", q)
	return out.Times, err
}

// RemoveSchedule removes a schedule. Its runs are not affected.
func (c *Client) RemoveSchedule(ctx context.Context, name string) error {
	return c.remove(ctx, schedulePath(name, ""), "schedule list")
}

// PauseSchedule stops a schedule from starting runs.
func (c *Client) PauseSchedule(ctx context.Context, name, note string) (flawless.Schedule, error) {
	return post[flawless.Schedule](ctx, c, schedulePath(name, "/pause"), nil, map[string]string{"note": note}, harmless())
}

// ResumeSchedule resumes a schedule with its next time.
func (c *Client) ResumeSchedule(ctx context.Context, name string) (flawless.Schedule, error) {
	return post[flawless.Schedule](ctx, c, schedulePath(name, "/resume"), nil, struct{}{}, harmless())
}

// TriggerSchedule starts a run of a schedule at once. Repeating it with the same key starts only one run; ""
// generates a key. It returns false if the key was already used.
func (c *Client) TriggerSchedule(ctx context.Context, name, key string) (flawless.Run, bool, error) {
	made := key == ""
	key = newID(key)
	out, err := post[struct {
		Run     flawless.Run
		Started bool
	}](ctx, c, schedulePath(name, "/trigger"), url.Values{"key": {key}}, struct{}{}, known("key", "--key", key, "never starts a second run"))
	return out.Run, out.Started || made && err == nil, err
}

// Backfill is the result of [Client.BackfillSchedule].
type Backfill struct {
	Started []string `json:"started"`         // runs that were started
	Known   []string `json:"known"`           // runs that already existed
	Taken   []string `json:"taken,omitempty"` // ids used by runs that the schedule did not start
}

// BackfillSchedule starts the missing runs for all times of a schedule between from (inclusive) and to (exclusive).
func (c *Client) BackfillSchedule(ctx context.Context, name string, from, to time.Time) (Backfill, error) {
	q := url.Values{"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {to.UTC().Format(time.RFC3339Nano)}}
	return post[Backfill](ctx, c, schedulePath(name, "/backfill"), q, struct{}{}, harmless())
}
