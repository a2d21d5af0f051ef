package flawless

import "time"

// StoreHeader is the header of a request that says for which store it is, by its id.
const StoreHeader = "Flawless-Store"

// Identity is which store something is, whatever directory or database it lies in.
type Identity struct {
	ID   string    `json:"id" cbor:"1,keyasint"` // random, made once: NewStoreID
	Made time.Time `json:"made" cbor:"2,keyasint"`
	// Origin is the store that this one is a copy of, "" for one that is none.
	Origin   string     `json:"origin,omitempty" cbor:"3,keyasint,omitempty"`
	Accepted *time.Time `json:"accepted,omitempty" cbor:"4,keyasint,omitempty"` // when a person said that it goes on by itself
	// Holding says that not all runs which were open in the origin are held back yet. Nothing goes on
	// before they are.
	Holding bool `json:"holding,omitempty" cbor:"5,keyasint,omitempty"`
}
