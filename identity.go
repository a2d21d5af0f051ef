package flawless

import "time"

// StoreHeader is the request header with the id of the store that the request is for.
const StoreHeader = "Flawless-Store"

// Identity identifies a store, whatever directory or database it is in.
type Identity struct {
	ID   string    `json:"id" cbor:"1,keyasint"` // from NewStoreID, never changed
	Made time.Time `json:"made" cbor:"2,keyasint"`
	// Origin is the store that this one is a copy of, or "".
	Origin   string     `json:"origin,omitempty" cbor:"3,keyasint,omitempty"`
	Accepted *time.Time `json:"accepted,omitempty" cbor:"4,keyasint,omitempty"` // when a person accepted the copy as a store of its own
	// Holding is set until all runs that were open in the origin are held. No run continues before that.
	Holding bool `json:"holding,omitempty" cbor:"5,keyasint,omitempty"`
}
