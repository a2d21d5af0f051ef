package flawless

// Call is one request of a run to the outside. It is numbered from 1 within its run, in the order
// the guest made it; number 0 is the start, whose answer is the input.
type Call struct {
	N    int    `json:"n" cbor:"1,keyasint"`
	Kind string `json:"kind" cbor:"2,keyasint"`
	Head []byte `json:"head,omitempty" cbor:"3,keyasint,omitempty"` // JSON, its form depends on the kind
	Body []byte `json:"body,omitempty" cbor:"4,keyasint,omitempty"` // raw
}

// Answer is what the engine hands back for a call.
type Answer struct {
	Call int    `json:"call" cbor:"1,keyasint"`
	Head []byte `json:"head,omitempty" cbor:"2,keyasint,omitempty"` // JSON, its form depends on the kind
	Body []byte `json:"body,omitempty" cbor:"3,keyasint,omitempty"` // raw
}
