package flawless

import "time"

// History says whether the logs of a store can be trusted to have every call that was made. They cannot after the database
// has lost acknowledged writes, unless the server knows from elsewhere which calls were made since.
type History struct {
	// Open is set while that is in question: runs are held, and no run with an id of its caller's starts.
	Open    bool      `json:"open" cbor:"1,keyasint,omitempty"`
	Since   time.Time `json:"since,omitzero" cbor:"2,keyasint,omitempty"`
	Reasons []string  `json:"reasons,omitempty" cbor:"3,keyasint,omitempty"` // what was found
	// Held is the number of runs that were held, Known that of the runs of which it is known that they made calls which their
	// logs lack. The latter are unresolved.
	Held  int `json:"held" cbor:"4,keyasint,omitempty"`
	Known int `json:"known" cbor:"5,keyasint,omitempty"`
	// Shards are those whose open runs were held. No run of another one continues before that.
	Shards []int `json:"-" cbor:"6,keyasint,omitempty"`

	Accepted *time.Time `json:"accepted,omitempty" cbor:"7,keyasint,omitempty"` // when somebody ended the question last
	Who      string     `json:"who,omitempty" cbor:"8,keyasint,omitempty"`
	Note     string     `json:"note,omitempty" cbor:"9,keyasint,omitempty"`
}
