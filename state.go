package flawless

// State is a value that runs share. One run at a time holds it.
type State struct {
	Name   string  `json:"name"`
	Value  Bytes   `json:"value,omitempty" redact:"-"` // JSON; empty if it was never set
	Holder *Claim  `json:"holder,omitempty"`
	Queue  []Claim `json:"queue,omitempty"` // claims that wait, in order
}

// Claim is a run's hold of a state, or its request for one.
type Claim struct {
	Run  string `json:"run" cbor:"1,keyasint"`
	Call int    `json:"call" cbor:"2,keyasint"` // number of the call that asked for it
}
