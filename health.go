package flawless

// Health is what a server says of itself.
type Health struct {
	Version string `json:"version"`
	Store   string `json:"store"`            // the store's id
	Start   uint64 `json:"start"`            // how often the store was started, with this time
	Origin  string `json:"origin,omitempty"` // the store that this one is a copy of
	// State is ok, full (no space: no new work is taken, reads are answered), damaged (something that is
	// stored cannot be read; work is taken), broken (the store had to be given up, and the process is about
	// to end) or stopping.
	State    string `json:"state" enum:"ok,full,damaged,broken,stopping"`
	Message  string `json:"message,omitempty"` // why it is not ok, and what to do
	Open     int    `json:"open"`              // runs in memory that have not ended
	Live     int    `json:"live"`              // guests in memory
	Retrying int    `json:"retrying"`          // runs with a call that has failed and is tried again
	Aside    int    `json:"aside"`             // runs that were quarantined, see their problem
	Code     int64  `json:"code_bytes"`        // that the compiled code of modules takes on disk

	// Check is how far the check of the store is; nil where the store has no files of its own.
	Check *HealthCheck `json:"check,omitempty"`

	// Since the server came up: guests made again from their log, images of runs made, guests made
	// again from an image, and images that were of no use.
	Replayed  int64 `json:"replayed"`
	Frozen    int64 `json:"frozen"`
	Thawed    int64 `json:"thawed"`
	Fallbacks int64 `json:"fallbacks"`
}
