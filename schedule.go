package flawless

import (
	"encoding/json"
	"time"
)

// Overlap is what a schedule does when its time comes and the run before is still open.
type Overlap string

// The four ways.
const (
	Skip    Overlap = "skip"   // leave this time out
	Queue   Overlap = "queue"  // start when the run before has ended; at most one waits
	Allow   Overlap = "allow"  // start beside it
	Replace Overlap = "cancel" // ask the run before to give up, and start when it has ended
)

// Overlaps lists them; the first is the default.
var Overlaps = []Overlap{Skip, Queue, Allow, Replace}

// Schedule starts runs of a workflow at the times of a cron expression. Each time has a run of its
// own, whose id is the schedule's name, an @ and the time in UTC: so it is started once, whatever
// crashes.
type Schedule struct {
	Name     string          `json:"name" cbor:"1,keyasint"`
	Cron     string          `json:"cron" cbor:"2,keyasint"` // minute hour day month weekday; also with seconds before, or @daily
	Zone     string          `json:"zone" cbor:"3,keyasint"` // whose clock the expression means, such as Europe/Berlin
	Module   string          `json:"module" cbor:"4,keyasint"`
	Workflow string          `json:"workflow" cbor:"5,keyasint"`
	Input    json.RawMessage `json:"input,omitempty" cbor:"6,keyasint,omitempty"`
	Overlap  Overlap         `json:"overlap" cbor:"7,keyasint"`
	JitterMS int64           `json:"jitter_ms,omitempty" cbor:"8,keyasint,omitempty"` // each time is put off by a random part of this, but not past the next time
	// CatchUpMS is for how long a time that was missed, because no server was up, is made up for.
	CatchUpMS int64 `json:"catch_up_ms" cbor:"9,keyasint"`
	// CatchUpLimit is how many times are due at once at most, after downtime or when the clock went ahead.
	// Older ones are missed.
	CatchUpLimit int               `json:"catch_up_limit,omitempty" cbor:"14,keyasint,omitempty"`
	Created      time.Time         `json:"created" cbor:"10,keyasint"`
	Paused       bool              `json:"paused,omitempty" cbor:"11,keyasint,omitempty"`
	Labels       map[string]string `json:"labels,omitempty" cbor:"13,keyasint,omitempty"` // of its runs, besides schedule=NAME
	Note         string            `json:"note,omitempty" cbor:"12,keyasint,omitempty"`   // why it is paused

	Version    string `json:"version,omitempty" cbor:"30,keyasint,omitempty"`     // of the module that its runs take; "" is the newest at the time
	Place      *Place `json:"place,omitempty" cbor:"31,keyasint,omitempty"`       // where its runs queue before they begin
	DeadlineMS int64  `json:"deadline_ms,omitempty" cbor:"32,keyasint,omitempty"` // each run is asked to give up this long after its start; 0 is never
	GraceMS    int64  `json:"grace_ms,omitempty" cbor:"33,keyasint,omitempty"`    // and terminated this much later; 0 is a minute

	Done    time.Time  `json:"done" cbor:"20,keyasint"`                           // all times up to here have been dealt with
	Queued  *time.Time `json:"queued,omitempty" cbor:"21,keyasint,omitempty"`     // this time waits for the run before
	Open    []string   `json:"open_runs,omitempty" cbor:"22,keyasint,omitempty"`  // runs of it that had not ended when it was last looked at
	Last    string     `json:"last_run,omitempty" cbor:"23,keyasint,omitempty"`   // the run started last
	Started int        `json:"started" cbor:"24,keyasint,omitempty"`              // runs
	Skipped int        `json:"skipped" cbor:"25,keyasint,omitempty"`              // times left out because of a run before
	Missed  int        `json:"missed" cbor:"26,keyasint,omitempty"`               // times without a run for any other reason
	Why     string     `json:"missed_why,omitempty" cbor:"28,keyasint,omitempty"` // why times were missed last
	Problem string     `json:"problem,omitempty" cbor:"27,keyasint,omitempty"`    // why the last time had no run
	Ahead   *time.Time `json:"ahead,omitempty" cbor:"29,keyasint,omitempty"`      // the clock was ahead, and times up to here may have a run already
	Next    *time.Time `json:"next,omitempty" cbor:"-"`                           // when it starts a run next
}

// Clone returns a copy that shares nothing that is changed in place.
func (s Schedule) Clone() Schedule {
	s.Open = append([]string(nil), s.Open...)
	return s
}
