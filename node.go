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
	// Draining is set while it gives its shards away. It gets no others.
	Draining bool `json:"draining,omitempty" cbor:"7,keyasint,omitempty"`
	// Fingerprint is the SHA-256 of the certificate by which other nodes recognise it, and it them, in hexadecimal. It makes
	// its key at its start and keeps it in memory, so the database has no secret: whoever can write it is trusted.
	Fingerprint string `json:"fingerprint,omitempty" cbor:"8,keyasint,omitempty"`
}
