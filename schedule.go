package flawless

import (
	"encoding/json"
	"time"
)

// Overlap says what a schedule does when it is due while its previous run is still open.
type Overlap string

// Values of [Overlap].
const (
	Skip    Overlap = "skip"   // skip this time
	Queue   Overlap = "queue"  // start when the previous run has ended; at most one time waits
	Allow   Overlap = "allow"  // start concurrently
	Replace Overlap = "cancel" // cancel the previous run, and start when it has ended
)

// Overlaps lists all values; the first is the default.
var Overlaps = []Overlap{Skip, Queue, Allow, Replace}

// Limits of a schedule.
const (
	MaxJitter       = 24 * time.Hour
	MinCatchUp      = 10 * time.Second // MaxDeadline is the maximum
	MaxCatchUpLimit = 10_000
)

// MaxDeadline is the maximum time from the start of a run to its deadline, and from its deadline or its cancellation
// until it is terminated.
const MaxDeadline = 10 * 365 * 24 * time.Hour

// Schedule starts runs of a workflow at the times of a cron expression. Each time has its own run, whose id is the
// name of the schedule, an @ and the time in UTC, so that it is started only once, whatever crashes.
type Schedule struct {
	Name     string          `json:"name" cbor:"1,keyasint"`
	Cron     string          `json:"cron" cbor:"2,keyasint"` // minute hour day month weekday, optionally with seconds in front and years at the end, or @daily
	Zone     string          `json:"zone" cbor:"3,keyasint"` // time zone of the expression, such as Europe/Berlin
	Module   string          `json:"module" cbor:"4,keyasint"`
	Workflow string          `json:"workflow" cbor:"5,keyasint"`
	Input    json.RawMessage `json:"input,omitempty" cbor:"6,keyasint,omitempty"`
	Overlap  Overlap         `json:"overlap" cbor:"7,keyasint"`
	JitterMS int64           `json:"jitter_ms,omitempty" cbor:"8,keyasint,omitempty"` // each time is delayed by a random part of this, but not beyond the next time
	// CatchUpMS is how late a run may start if no server was running at its time.
	CatchUpMS int64 `json:"catch_up_ms" cbor:"9,keyasint"`
	// CatchUpLimit is how many runs start at once at most, after downtime or when the clock has jumped ahead. Older
	// times are missed.
	CatchUpLimit int               `json:"catch_up_limit,omitempty" cbor:"14,keyasint,omitempty"`
	Created      time.Time         `json:"created" cbor:"10,keyasint"`
	Paused       bool              `json:"paused,omitempty" cbor:"11,keyasint,omitempty"`
	Labels       map[string]string `json:"labels,omitempty" cbor:"13,keyasint,omitempty"` // labels of its runs, in addition to schedule=NAME
	Note         string            `json:"note,omitempty" cbor:"12,keyasint,omitempty"`   // why it is paused

	Version    string        `json:"version,omitempty" cbor:"30,keyasint,omitempty"`     // version of the module for its runs; "" means the newest at the time
	Queue      *QueueOptions `json:"place,omitempty" cbor:"31,keyasint,omitempty"`       // concurrency key and priority of its runs
	DeadlineMS int64         `json:"deadline_ms,omitempty" cbor:"32,keyasint,omitempty"` // each run is cancelled this long after its start; 0 means never
	GraceMS    int64         `json:"grace_ms,omitempty" cbor:"33,keyasint,omitempty"`    // time from then until it is terminated; 0 means a minute

	Done    time.Time  `json:"done" cbor:"20,keyasint"`                           // all times up to here are done
	Queued  *time.Time `json:"queued,omitempty" cbor:"21,keyasint,omitempty"`     // the time that waits for the previous run
	Open    []string   `json:"open_runs,omitempty" cbor:"22,keyasint,omitempty"`  // its runs that were open when the schedule was last processed
	Last    string     `json:"last_run,omitempty" cbor:"23,keyasint,omitempty"`   // the run started last
	Started int        `json:"started" cbor:"24,keyasint,omitempty"`              // number of runs started
	Skipped int        `json:"skipped" cbor:"25,keyasint,omitempty"`              // number of times skipped because of an open run
	Missed  int        `json:"missed" cbor:"26,keyasint,omitempty"`               // number of times without a run for any other reason
	Why     string     `json:"missed_why,omitempty" cbor:"28,keyasint,omitempty"` // why times were last missed
	Problem string     `json:"problem,omitempty" cbor:"27,keyasint,omitempty"`    // why the last time had no run
	Ahead   *time.Time `json:"ahead,omitempty" cbor:"29,keyasint,omitempty"`      // the clock was ahead; times up to here may already have a run
	Next    *time.Time `json:"next,omitempty" cbor:"-"`                           // when the next run starts
}

// Clone returns a copy that shares nothing that is modified in place.
func (s Schedule) Clone() Schedule {
	s.Open = append([]string(nil), s.Open...)
	return s
}
