package flawless

// State is a value that runs share. One run at a time holds it.
type State struct {
	Name   string  `json:"name"`
	Value  Bytes   `json:"value,omitempty" redact:"-"` // JSON, empty where nobody has set it
	Holder *Claim  `json:"holder,omitempty"`
	Queue  []Claim `json:"queue,omitempty"` // who waits for it, the next one first
}

// Claim is a run's hold of a state, or its wish for it.
type Claim struct {
	Run  string `json:"run" cbor:"1,keyasint"`
	Call int    `json:"call" cbor:"2,keyasint"` // with which it asked
}
