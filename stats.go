package flawless

import "time"

// Stats are counts of the runs of a store. They are read from rows that change together with the runs, so reading them does
// not take longer if there are more runs.
type Stats struct {
	Modules []ModuleStats `json:"modules"` // sorted by name
	// Unresolved is about the runs that need a person; nil if there are none.
	Unresolved *UnresolvedStats `json:"unresolved,omitempty"`
	// Minutes has what happened in the last day: one item for each minute in which runs started or ended, in order of
	// time. What other servers did may be 10 seconds old. A server that crashes loses up to 10 seconds.
	Minutes []MinuteStats `json:"minutes"`
}

// ModuleStats are counts of the runs of a module.
type ModuleStats struct {
	Module  string           `json:"module"`
	Runs    map[Status]int64 `json:"runs"`              // by status; statuses without runs are missing
	Reasons []ReasonStats    `json:"reasons,omitempty"` // why runs failed or are unresolved, the most frequent first
}

// MaxReasons is how many reasons of a module Stats have. The others are counted together as "other".
const MaxReasons = 20

// ReasonStats counts the stored runs of a module that failed, or are unresolved, for the same reason.
type ReasonStats struct {
	Status Status    `json:"status"` // failed or unresolved
	Reason string    `json:"reason"` // ids and numbers are replaced by N
	Runs   int64     `json:"runs"`
	Since  time.Time `json:"since"` // when the first run came under the reason, even if it has been removed since
	Last   time.Time `json:"last"`
}

// UnresolvedStats are about the runs that need a person.
type UnresolvedStats struct {
	Runs int64 `json:"runs"`
	// Oldest is the run that has needed one for longest, and Since when that began. Only the 1,000 newest runs are
	// compared; More says that there are others.
	Oldest string    `json:"oldest,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	More   bool      `json:"more,omitempty"`
}

// MinuteStats counts what happened in a minute.
type MinuteStats struct {
	Minute  time.Time        `json:"minute"` // its beginning
	Started int64            `json:"started"`
	Ended   map[Status]int64 `json:"ended,omitempty"` // by how they ended
}
