package flawless

// Health is the condition of a server.
type Health struct {
	Version string `json:"version"`
	Store   string `json:"store"`            // the store's id
	Start   uint64 `json:"start"`            // number of starts of the store, including this one
	Origin  string `json:"origin,omitempty"` // the store that this one is a copy of
	// State is ok, full (no space: new work is rejected, reads are answered), damaged (some stored data cannot be
	// read; work is accepted), disconnected (the database does not answer; requests get 503, and everything goes on by
	// itself), broken (the store has failed, and the process is about to exit) or stopping.
	State       string `json:"state" enum:"ok,full,damaged,disconnected,broken,stopping"`
	Message     string `json:"message,omitempty"` // why it is not ok, and what to do
	Open        int    `json:"open"`              // runs in memory that have not ended
	Live        int    `json:"live"`              // guests in memory
	Retrying    int    `json:"retrying"`          // runs with a failed call that is being retried
	Quarantined int    `json:"aside"`             // quarantined runs; their Problem says why
	Code        int64  `json:"code_bytes"`        // size of the compiled code of modules on disk

	// History says that runs are held because the database may have lost calls, and what to do; "" if it has not. It is the
	// same for all servers on a database.
	History string `json:"history,omitempty"`
	Held    int    `json:"held,omitempty"` // number of these runs

	// Check is the state of the store check; nil if the store has no files of its own.
	Check *HealthCheck `json:"check,omitempty"`

	// Counts since the server started: guests rebuilt from their log, images made, guests rebuilt from an image, and
	// images that could not be used.
	Replayed  int64 `json:"replayed"`
	Frozen    int64 `json:"frozen"`
	Thawed    int64 `json:"thawed"`
	Fallbacks int64 `json:"fallbacks"`
}
