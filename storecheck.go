package flawless

import "time"

// StoreCheck is the result of the last check of all stored data. While another check is running, Began, Read and
// Total belong to that one, and the rest is still the result of the last one.
type StoreCheck struct {
	Running bool       `json:"running"`
	Began   time.Time  `json:"began"`
	Ended   *time.Time `json:"ended,omitempty"`
	Read    int64      `json:"read"`            // bytes read so far
	Total   int64      `json:"total"`           // bytes of all tables when it began
	Error   string     `json:"error,omitempty"` // why it ended before it had read everything

	Damaged  []DamagedFile `json:"damaged,omitempty"`
	Affected []Affected    `json:"affected,omitempty"` // objects in damaged files, at most 100; unreadable ones first
	More     int           `json:"more,omitempty"`     // number of further affected objects

	// Recounted has the modules whose counts of runs differed from their runs. They have been counted again, and are right now.
	Recounted []string `json:"recounted,omitempty"`
}

// DamagedFile is a file of the store whose content has changed since it was written.
type DamagedFile struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Affected is an object whose data is in a damaged file.
type Affected struct {
	Kind string `json:"kind"`           // run, module, lists, schedules, settings, ...
	Name string `json:"name,omitempty"` // which one, if known
	Part string `json:"part,omitempty"` // of a run: head, log, data or image; of a module: bytes
	// Readable says whether it can be read now, because it is in memory or was rewritten. Unless it was rewritten,
	// it cannot be read after the next start.
	Readable bool   `json:"readable"`
	Todo     string `json:"todo"` // what to do
}

// HealthCheck is the state of the store check in a [Health].
type HealthCheck struct {
	Running bool       `json:"running"`
	Read    int64      `json:"read"`              // bytes read so far
	Total   int64      `json:"total"`             // bytes to read
	Ended   *time.Time `json:"ended,omitempty"`   // when the last check ended
	Damaged int        `json:"damaged,omitempty"` // number of damaged files found
}
