package flawless

// Health is what a server says of itself.
type Health struct {
	Version string `json:"version"`
	// State is ok, full (no space: no new work is taken, reads are answered), stopping, or broken (the
	// store had to be given up, and the process is about to end).
	State   string `json:"state"`
	Message string `json:"message,omitempty"` // why it is not ok, and what to do
	Open    int    `json:"open"`              // runs in memory that have not ended
	Live    int    `json:"live"`              // guests in memory
	Aside   int    `json:"aside"`             // runs set aside, see their problem

	// Since the server came up: guests made again from their log, images of runs made, guests made
	// again from an image, and images that were of no use.
	Replayed  int64 `json:"replayed"`
	Frozen    int64 `json:"frozen"`
	Thawed    int64 `json:"thawed"`
	Fallbacks int64 `json:"fallbacks"`
}
