package flawless

import "time"

// StoreCheck is what the last check of everything that is stored has found. While another one is under way Began,
// Read and Total are of that one, and the rest is still what the last one has found.
type StoreCheck struct {
	Running bool       `json:"running"`
	Began   time.Time  `json:"began"`
	Ended   *time.Time `json:"ended,omitempty"`
	Read    int64      `json:"read"`            // bytes so far
	Total   int64      `json:"total"`           // bytes of all tables when it began
	Error   string     `json:"error,omitempty"` // why it ended before it had read everything

	Damaged  []DamagedFile `json:"damaged,omitempty"`
	Affected []Affected    `json:"affected,omitempty"` // what lies in the damaged files, at most 100; what cannot be read comes first
	More     int           `json:"more,omitempty"`     // how many others are affected
}

// DamagedFile is a file of the store whose bytes are not those that were written.
type DamagedFile struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Affected is something that lies where a file is damaged.
type Affected struct {
	Kind string `json:"kind"`           // run, module, lists, schedules, settings, ...
	Name string `json:"name,omitempty"` // which one, where that can be known
	Part string `json:"part,omitempty"` // of a run its head, log, data or image, of a module its bytes
	// Readable is whether it can be read at present: it may be in memory, or have been written again. Unless it
	// was written again, it cannot be read after the next start.
	Readable bool   `json:"readable"`
	Todo     string `json:"todo"` // what to do
}

// HealthCheck is how far the check of the store is, in a [Health].
type HealthCheck struct {
	Running bool       `json:"running"`
	Read    int64      `json:"read"`              // bytes so far
	Total   int64      `json:"total"`             // bytes to read
	Ended   *time.Time `json:"ended,omitempty"`   // when the last check ended
	Damaged int        `json:"damaged,omitempty"` // damaged files that it found
}
