package flawless

// Node is one server of several that share a database.
type Node struct {
	ID      string `json:"id" cbor:"1,keyasint"`      // random, another one at each start
	Name    string `json:"name" cbor:"2,keyasint"`    // chosen by the operator, or the host's name
	Address string `json:"address" cbor:"3,keyasint"` // where other nodes reach it: host:port
	Version string `json:"version" cbor:"4,keyasint"` // of its software
	// Beat grows with each renewal of its lease. Other nodes call it dead when Beat has not changed for too long by
	// their own clock; so the row has no time.
	Beat uint64 `json:"beat" cbor:"5,keyasint"`
	// Dead is set by the node that takes its shards over. It is never unset: a node that was called dead by mistake joins
	// again with another id.
	Dead bool `json:"dead,omitempty" cbor:"6,keyasint,omitempty"`
	// Draining is set when it is to give its shards away, by itself or by another node, which it sees at its next renewal.
	// It gets no others until Draining is unset.
	Draining bool `json:"draining,omitempty" cbor:"7,keyasint,omitempty"`
	// Fingerprint is the SHA-256 of the certificate by which other nodes recognise it, and it them, in hexadecimal. It makes
	// its key at its start and keeps it in memory, so the database has no secret: whoever can write it is trusted.
	Fingerprint string `json:"fingerprint,omitempty" cbor:"8,keyasint,omitempty"`

	// Ring is the id of the file in which the node remembers its calls, for a database that loses writes; "" is none. Branch
	// names the history of the database that has all writes of the node up to its last renewal; "" is not known.
	Ring   string `json:"ring,omitempty" cbor:"13,keyasint,omitempty"`
	Branch string `json:"branch,omitempty" cbor:"14,keyasint,omitempty"`

	// What it does, as of its last renewal.
	Guests int     `json:"guests" cbor:"10,keyasint,omitempty"` // in memory
	Calls  float64 `json:"calls" cbor:"11,keyasint,omitempty"`  // attempts of calls that it begins, per second
	// Keys has the ids of the keys with which it can decrypt secrets.
	Keys []string `json:"keys,omitempty" cbor:"12,keyasint,omitempty"`
	// API has the addresses at which it serves clients, address:port. The runs of other nodes may not call them, unless their
	// operator allows it.
	API []string `json:"-" cbor:"15,keyasint,omitempty"`
	// Sessions has the names of its connections to the database (application_name). A node that takes over ends them.
	Sessions []string `json:"-" cbor:"16,keyasint,omitempty"`
}

// NodeStatus is a node as another one, or itself, sees it.
type NodeStatus struct {
	Node
	Shards int `json:"shards"` // that it owns
	// LeaseAge is how long ago the node that answers saw it renew its lease, in milliseconds.
	LeaseAge int64 `json:"lease_age_ms"`
	Self     bool  `json:"self,omitempty"` // it is the node that answers
	// Questioned is set if the database may have lost calls of the node, which nobody knows: see [History].
	Questioned bool `json:"questioned,omitempty"`
}
