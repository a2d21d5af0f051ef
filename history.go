package flawless

import "time"

// History says whether the logs of a store can be trusted to have every call that was made. They cannot after the database
// has lost acknowledged writes, unless the servers know from elsewhere which calls were made since.
type History struct {
	// Open is set while that is in question: runs are held, and in their shards no run with an id of its caller's starts.
	Open    bool      `json:"open" cbor:"1,keyasint,omitempty"`
	Since   time.Time `json:"since,omitzero" cbor:"2,keyasint,omitempty"`
	Reasons []string  `json:"reasons,omitempty" cbor:"3,keyasint,omitempty"` // what was found
	// Held is the number of runs that were held, Known that of the runs of which it is known that they made calls which their
	// logs lack. The latter are unresolved.
	Held  int `json:"held" cbor:"4,keyasint,omitempty"`
	Known int `json:"known" cbor:"5,keyasint,omitempty"`

	Accepted *time.Time `json:"accepted,omitempty" cbor:"7,keyasint,omitempty"` // when somebody ended the question last
	Who      string     `json:"who,omitempty" cbor:"8,keyasint,omitempty"`
	Note     string     `json:"note,omitempty" cbor:"9,keyasint,omitempty"`

	// Rings are the files whose calls are, or were, in question. There are none after the question has ended.
	Rings []HistoryRing `json:"rings,omitempty" cbor:"10,keyasint,omitempty"`
	// Resuming are the shards whose held runs have not been resumed yet after the question has ended: their servers do that.
	Resuming []int `json:"resuming,omitempty" cbor:"11,keyasint,omitempty"`
	// Waiting says for which servers they wait.
	Waiting []string `json:"waiting,omitempty" cbor:"-"`
}

// Take notes that a node was taken over that had some shards, so that somebody finds out whether its ring is needed. A node
// that had none may have had some whose claims are lost, unless it was drained: nobody knows which.
func (h *History) Take(n Node, shards []int) {
	r := HistoryRing{ID: n.Ring, Node: n.Name, Branch: n.Branch, State: RingTaken, Shards: shards}
	if len(shards) == 0 && !n.Draining {
		for sh := range 256 {
			r.Shards = append(r.Shards, sh)
		}
	}
	h.Rings = append(h.Rings, r)
}

// Unknown notes that a node had shards of which the database does not know it.
func (h *History) Unknown(shards []int) {
	h.Rings = append(h.Rings, HistoryRing{State: RingTaken, Branch: "unknown", Shards: shards}) // no database has this name
}

// HistoryRing is the file in which a server remembers its calls, and what is known about it.
type HistoryRing struct {
	// ID is the id of the file. "" stands for those of servers of which nothing is known.
	ID   string `json:"id,omitempty" cbor:"1,keyasint,omitempty"`
	Node string `json:"node,omitempty" cbor:"2,keyasint,omitempty"` // name of the server
	// Branch names the history of the database in which the writes of the server were.
	Branch string    `json:"-" cbor:"3,keyasint,omitempty"`
	State  RingState `json:"state" cbor:"4,keyasint,omitempty" enum:"taken,missing,incomplete,seen"`
	Why    string    `json:"why" cbor:"5,keyasint,omitempty"` // it is asked for
	// Shards are those in which the server may have made calls that the logs lack. Done are those among them whose open runs
	// were held.
	Shards []int `json:"shards" cbor:"6,keyasint,omitempty"`
	Done   []int `json:"-" cbor:"7,keyasint,omitempty"`
	Held   int   `json:"held" cbor:"8,keyasint,omitempty"`  // number of runs that were held
	Known  int   `json:"known" cbor:"9,keyasint,omitempty"` // number of runs of which the file has such calls
}

// RingState says what is known about a [HistoryRing].
type RingState string

// The states of a file.
const (
	// RingTaken is that of a server that has just been taken over. Nobody has looked yet whether there is a question.
	RingTaken RingState = "taken"
	// RingMissing is that of a server that may have made calls which nobody knows.
	RingMissing RingState = "missing"
	// RingIncomplete is that of a server whose file was seen, but does not have all calls.
	RingIncomplete RingState = "incomplete"
	// RingSeen is that of a server all of whose calls are known, so that only others are in question.
	RingSeen RingState = "seen"
)

// Open reports whether calls may be missing because of the ring.
func (r *HistoryRing) Open() bool { return r.State == RingMissing || r.State == RingIncomplete }

// Questioned reports whether calls in a shard may be missing.
func (h *History) Questioned(shard int) bool {
	if !h.Open {
		return false
	}
	for _, r := range h.Rings {
		for _, sh := range r.Shards {
			if sh == shard && r.Open() {
				return true
			}
		}
	}
	return false
}
